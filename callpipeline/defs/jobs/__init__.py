"""Jobs: processing calls, completing judgements, and retention."""
