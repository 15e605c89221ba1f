"""Engines that spread the work over many machines: each runs connections as parts of its own jobs."""
