"""Administration: tables of the old web client, users, keys, retention, erasure and sources."""
