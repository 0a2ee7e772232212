"""From stored data to what a template shows: texts and rows, so that no template computes anything."""
