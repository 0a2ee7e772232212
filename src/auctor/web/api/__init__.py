"""The JSON API under /api/v1: the verbs of the service, for programs, described by OpenAPI (docs/api.md)."""
