"""The border: case files, NONMEM-style tables, units and clock times into the engine's nouns."""
