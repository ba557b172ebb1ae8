-- A service is back: the calls and mentions that wait for it are due now.
WITH ended AS (
    DELETE FROM outages WHERE service = %(service)s RETURNING service
), mentions AS (
    UPDATE unjudged u SET not_before = now() FROM ended
    WHERE u.away_from = ended.service AND u.not_before > now()
)
UPDATE calls SET not_before = now() FROM ended
WHERE away_from = ended.service AND state = 'PENDING' AND not_before > now()
RETURNING call_id;
