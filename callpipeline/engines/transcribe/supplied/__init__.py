"""Transcripts that other tools made, supplied beside recordings: captions and JSON."""

from callpipeline.engines.transcribe.supplied.parse import SUFFIXES, parse_supplied

__all__ = ["SUFFIXES", "parse_supplied"]
