"""Who is asking: accounts, second factors, sessions, keys of programs, wards, and the table of what a role may do."""
