"""Work that goes on at once: how much of it, in which order, and across threads."""
