"""Read-only queries for pages, the API and the command line: calls, analytics, search, export."""
