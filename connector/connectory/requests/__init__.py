"""A request: built from the catalogue's words, and what its attempts came to."""
