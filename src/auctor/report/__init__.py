"""One analysis as JSON, a short table and a self-contained HTML page."""
