-- A receiver wants nothing any more.
INSERT INTO receivers_off (channel, address, since, answer)
VALUES (%(channel)s, %(address)s, %(now)s, %(answer)s)
ON CONFLICT (channel) DO UPDATE SET
    address = excluded.address, since = excluded.since, answer = excluded.answer
RETURNING channel;
