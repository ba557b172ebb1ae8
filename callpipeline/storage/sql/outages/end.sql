-- A service is back: the calls that wait are due now. Those that wait for another one that is away
-- are put back again, and lose nothing by it.
WITH ended AS (DELETE FROM outages WHERE service = %(service)s RETURNING service)
UPDATE calls SET not_before = now()
WHERE away_since IS NOT NULL AND state = 'PENDING' AND not_before > now()
  AND EXISTS (SELECT FROM ended)
RETURNING call_id;
