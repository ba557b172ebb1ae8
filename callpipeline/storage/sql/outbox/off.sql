-- The receivers that want nothing any more.
SELECT channel, address, since, answer FROM receivers_off ORDER BY channel;
