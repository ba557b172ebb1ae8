"""The pages that people open; each is parse, one call, present."""
