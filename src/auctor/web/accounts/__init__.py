"""Who is asking: accounts, sign-in, sessions, keys, and what each role may do."""
