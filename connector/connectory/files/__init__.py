"""Files on this machine: found and sent, saved, locked, and private to their owner."""
