"""What pages are told while they are open: one look at the database a second, for all of them."""
