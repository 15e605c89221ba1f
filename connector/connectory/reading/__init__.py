"""What an incoming reads: which items, for which parent, page by page."""
