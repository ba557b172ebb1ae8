"""Transcription of the speech of one channel: adapters, alignment, hallucination filters."""
