"""What listens and judges: ports for splitting, speech detection, transcription and sentiment."""
