"""What goes in and out of the API, as pydantic models: OpenAPI's schemas are made of them. Every quantity carries its unit."""
