"""The ledger: calls, their states, and the claims of runs."""
