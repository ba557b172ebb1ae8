-- Close incidents of which nothing was heard and nothing is to be told: those that do not recover
-- after a window; of the others nobody saw the end in a day, and what goes on is told anew.
UPDATE incidents i SET closed_at = %(now)s
WHERE closed_at IS NULL
  AND last_event_at <= %(now)s::timestamptz
      - CASE WHEN recovers THEN interval '1 day' ELSE %(window_s)s * interval '1 second' END
  AND NOT EXISTS (SELECT FROM outbox o WHERE o.incident_id = i.incident_id AND o.untold <> '{}')
  AND NOT EXISTS (SELECT FROM notifications n
                  WHERE n.incident_id = i.incident_id
                    AND n.created_at > %(now)s::timestamptz - %(window_s)s * interval '1 second');
