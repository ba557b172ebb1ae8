"""The HTTP API: the routes that the old system's users call, and more of the same kind."""
