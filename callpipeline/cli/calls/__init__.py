"""Commands that add, show, retry, erase, search and export calls."""
