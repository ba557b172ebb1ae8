-- Record a deletion of many things at once.
INSERT INTO deletions (what, why, items, older_than)
VALUES (%(what)s, 'retention', %(items)s, %(older_than)s) RETURNING deletion_id;
