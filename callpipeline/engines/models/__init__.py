"""Models of recognisers: registry on this machine, downloads, and verification of their files."""
