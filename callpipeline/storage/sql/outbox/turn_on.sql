-- A receiver takes notifications again.
DELETE FROM receivers_off WHERE channel = %(channel)s RETURNING channel;
