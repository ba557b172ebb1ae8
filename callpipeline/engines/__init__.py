"""Engines: splitting, speech detection, transcription and sentiment; ports and adapters."""
