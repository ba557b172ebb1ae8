"""Reading of results: documents, analytics, playback, and the review queue."""
