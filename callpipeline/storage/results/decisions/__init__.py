"""Decisions of people on mentions and sentiment, and evaluations with these as labels."""
