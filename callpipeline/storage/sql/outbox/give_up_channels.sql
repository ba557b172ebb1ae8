-- Messages to channels that are not set up any more, or want nothing.
UPDATE notifications SET state = 'GAVE_UP'
WHERE state = 'PENDING' AND NOT channel = ANY(%(configured)s::text[])
  AND (leased_until IS NULL OR leased_until <= %(now)s);
