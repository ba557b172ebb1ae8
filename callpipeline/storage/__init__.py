"""Storage: the ledger and results in Postgres, audio and transcripts in object stores."""
