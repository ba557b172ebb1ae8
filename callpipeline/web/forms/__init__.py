"""Requests that carry a file: read as they come, named, and kept on the disk meanwhile."""
