"""Kinetics: event timeline, closed-form propagators, exposure metrics (JAX, float64; h, mg, L, mg/L)."""
