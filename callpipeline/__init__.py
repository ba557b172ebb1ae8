"""callpipeline: which competitors are named in recorded calls, by whom, when and how."""
