"""Sensors: discovery, processing, reconciliation, erasure and notifications."""
