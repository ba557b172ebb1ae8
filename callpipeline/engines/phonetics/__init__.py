"""Phonetics: how words are pronounced, and which words sound like a name."""
