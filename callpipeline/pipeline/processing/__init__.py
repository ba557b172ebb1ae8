"""Processing of calls, stage by stage."""
