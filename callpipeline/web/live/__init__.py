"""Live updates of open pages, with one database query a second for all of them."""
