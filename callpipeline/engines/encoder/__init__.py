"""The encoder: a small network that judges what an utterance says about a marked name."""
