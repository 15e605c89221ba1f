"""Configurations of other products, read into one of ours, with a report of what became of each part."""
