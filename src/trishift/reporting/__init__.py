"""Files, figures and overlays for people to read."""
