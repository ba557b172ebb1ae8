"""Whole installations in real processes, with scripted engines and faults that are planned."""
