"""Sources of recordings: configuration, announcements and downloads."""
