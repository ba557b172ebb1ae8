-- Messages to channels that are not set up any more, or want nothing, are given up untried.
UPDATE notifications SET state = 'GAVE_UP'
WHERE state = 'PENDING' AND NOT channel = ANY(%(working)s::text[])
  AND (leased_until IS NULL OR leased_until <= %(now)s);
