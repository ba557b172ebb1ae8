-- Channels that are not set up any more: nothing waits for them.
UPDATE outbox SET untold = ARRAY(
    SELECT u.channel FROM unnest(untold) AS u (channel)
    WHERE u.channel = ANY(%(configured)s::text[]))
WHERE untold <> '{}' AND NOT untold <@ %(configured)s::text[];
