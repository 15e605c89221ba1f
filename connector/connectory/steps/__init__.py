"""One step of a chain: its transformer, what its options name, what it awaits and remembers."""
