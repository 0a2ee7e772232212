"""CDS Hooks 2.0 and 3.0 without any I/O: what the services offer, requests and feedback checked, and the cards that answer."""
