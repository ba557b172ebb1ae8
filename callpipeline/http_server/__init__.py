"""HTTP building blocks that know nothing of calls: limits, uploads, responses, signing."""
