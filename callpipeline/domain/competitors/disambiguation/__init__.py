"""Disambiguation: deciding whether an ambiguous name means the company."""
