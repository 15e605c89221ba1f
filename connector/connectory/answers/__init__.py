"""An answer: its bytes taken in, its events put together, and what it means."""
