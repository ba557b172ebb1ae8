"""What is kept: the ledger and the results in Postgres, audio and transcripts in object storage."""
