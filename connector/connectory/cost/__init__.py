"""What requests used, what that costs, and when it is enough."""
