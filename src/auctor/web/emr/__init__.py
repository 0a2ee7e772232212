"""The hospital record: HL7 v2 over MLLP, CDS Hooks, SMART App Launch, and the FHIR client. The I/O around `auctor.fhir`."""
