"""Quality checks of processed calls, and the check of engines."""
