"""Assets of calls, and the metadata that the catalog shows for every asset."""
