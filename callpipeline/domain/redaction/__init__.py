"""Redaction: finding card, bank and phone numbers and email addresses, and masking them."""
