"""A deterministic provider to try everything on: its landing files, and importers of published traces."""
