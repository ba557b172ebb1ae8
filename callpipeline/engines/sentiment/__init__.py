"""Adapters that judge how a competitor is spoken of."""
