"""Notification channels: the message port, and adapters for Slack, email and webhooks."""
