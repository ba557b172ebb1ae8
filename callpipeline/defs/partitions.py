"""The one partitions definition: a key per call. Keys come from `domain/call.py` only."""

import dagster as dg

calls = dg.DynamicPartitionsDefinition(name="calls")
