"""Pages of administration, for admins."""
