"""Mapping between the hospital's messages (FHIR R4, CDS Hooks, HL7 v2) and a case document: no file, no network."""
