"""Diarization: separating the voices of a mono recording."""
