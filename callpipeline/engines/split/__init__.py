"""Adapters that take a recording apart into its channels."""
