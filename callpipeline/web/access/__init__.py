"""Who may ask: visitors and what they may do, keys, logins, and what their browsers may do."""
