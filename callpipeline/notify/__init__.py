"""Ways to people: what a message says, and the adapters that bring it to Slack, email, webhooks."""
