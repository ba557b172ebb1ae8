-- A person wants calls tried now: so are the services for which they wait.
UPDATE outages o SET again_at = now(), asked_at = NULL
WHERE again_at > now()
  AND (EXISTS (SELECT FROM calls c
               WHERE c.away_from = o.service AND c.call_id = ANY(%(call_ids)s))
       OR EXISTS (SELECT FROM unjudged u
                  WHERE u.away_from = o.service AND u.call_id = ANY(%(call_ids)s)))
RETURNING service;
