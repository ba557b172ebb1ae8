-- Close incidents of which nothing was heard and nothing is to be told: those that do not recover
-- after a window. What is reported again while it goes on is told anew after a day; whether an
-- engine works may take its next call to be seen.
UPDATE incidents i SET closed_at = %(now)s
WHERE closed_at IS NULL
  AND last_event_at <= %(now)s::timestamptz
      - CASE WHEN NOT recovers THEN %(window_s)s * interval '1 second'
             WHEN stage IS NULL THEN interval '1 day' ELSE interval '30 days' END
  AND NOT EXISTS (SELECT FROM outbox o WHERE o.incident_id = i.incident_id AND o.untold <> '{}')
  AND NOT EXISTS (SELECT FROM notifications n
                  WHERE n.incident_id = i.incident_id
                    AND n.created_at > %(now)s::timestamptz - %(window_s)s * interval '1 second');
