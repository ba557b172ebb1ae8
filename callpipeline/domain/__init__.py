"""Domain values and rules: pure Python, without I/O."""
