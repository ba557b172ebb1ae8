"""Notifications: composing and delivering them, and monitoring the pipeline."""
