"""The clinical application: a store, accounts, pages, a JSON API and the doors to the hospital record over one set of verbs."""
