"""HL7 v2 without any I/O: ORU^R01 and RAS^O17 to identity and facts of a case document, and the acknowledgement of a message."""
