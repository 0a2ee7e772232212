"""Published population models as data: facts with units and sources, and arithmetic that is parsed, never executed."""
