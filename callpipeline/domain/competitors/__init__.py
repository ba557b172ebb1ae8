"""Competitors: the catalog, and the mentions of its names in transcripts."""
