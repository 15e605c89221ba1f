"""Text that comes in and goes out: JSON, headers, values of other kinds, and nothing secret."""
