"""Adapters that turn the speech of one channel into words with times."""
