"""A run: begun or taken up, alone or along a route, in one process or in several."""
