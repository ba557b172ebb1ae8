"""One fake per port: what they hold is in memory, what they answer is written in a script."""
