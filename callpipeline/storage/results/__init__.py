"""Results of calls: audio, transcripts, mentions, sentiment, reviews and daily marts."""
