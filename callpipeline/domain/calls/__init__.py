"""Calls: identity, registration, progress, filters and retention."""
