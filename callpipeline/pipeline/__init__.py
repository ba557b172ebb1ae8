"""What happens to a call, stage by stage, and to many calls at once; knows ports, not Dagster."""
