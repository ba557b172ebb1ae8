"""Ingestion: discover, announce, and register recordings."""
