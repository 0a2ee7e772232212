"""The verbs: each asks the permissions, does one thing in one unit of work, and leaves one audit entry. They alone call the store."""
