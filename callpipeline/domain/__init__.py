"""Pure values and functions: calls, audio, transcripts, catalog, mentions, sentiment, metrics."""
