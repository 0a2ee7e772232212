"""auctor: drug exposure from a few samples, and the next dose, four ways side by side (research software, not a medical device)."""

__version__ = "0.1.0"
