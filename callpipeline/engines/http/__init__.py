"""Services over HTTP: what every adapter that asks one shares."""
