"""Ports of storage: protocols and the values that cross them; the pipeline imports nothing else."""
