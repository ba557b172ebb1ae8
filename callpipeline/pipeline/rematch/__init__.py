"""Rematches: mentions and sentiment of completed calls under another catalog or other rules."""
