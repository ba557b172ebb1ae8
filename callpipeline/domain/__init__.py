"""Pure values and functions: calls, audio, transcripts, the catalog, mentions, sentiment, metrics."""
