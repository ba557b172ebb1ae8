"""Soak test: installations in real processes, with scripted engines and planned faults."""
