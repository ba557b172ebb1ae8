"""The competitor catalog: its file, its versions, and rematches."""
