"""How fast requests may leave, and how many at once."""
