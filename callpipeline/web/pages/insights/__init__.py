"""Pages that say what changed: overview, competitors, and the moments behind each number."""
