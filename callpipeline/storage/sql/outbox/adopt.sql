-- Put new events where they belong: into the incident of their group that is open or was closed
-- less than a window ago, else into a new one; and note whom they are to be told.
WITH fresh AS MATERIALIZED (
    SELECT event_id, group_key, kind, stage, recovers, occurred_at FROM outbox
    WHERE incident_id IS NULL ORDER BY occurred_at LIMIT %(limit)s
), met AS (
    SELECT group_key, min(kind) AS kind, min(stage) AS stage, bool_or(recovers) AS recovers,
           min(occurred_at) AS first_at, max(occurred_at) AS last_at
    FROM fresh GROUP BY group_key
), known AS (
    SELECT DISTINCT ON (i.group_key) i.incident_id, i.group_key, met.last_at
    FROM incidents i JOIN met USING (group_key)
    WHERE i.closed_at IS NULL
       OR i.closed_at > %(now)s::timestamptz - %(window_s)s * interval '1 second'
    ORDER BY i.group_key, i.closed_at IS NULL DESC, i.opened_at DESC
), gone_on AS (
    UPDATE incidents i SET last_event_at = greatest(i.last_event_at, known.last_at),
        cleared_at = NULL, closed_at = NULL
    FROM known WHERE i.incident_id = known.incident_id
    RETURNING i.incident_id, i.group_key
), opened AS (
    INSERT INTO incidents (group_key, kind, stage, recovers, opened_at, last_event_at)
    SELECT group_key, kind, stage, recovers, first_at, last_at FROM met
    WHERE NOT EXISTS (SELECT FROM known WHERE known.group_key = met.group_key)
    RETURNING incident_id, group_key
), homes AS (
    SELECT * FROM gone_on UNION ALL SELECT * FROM opened
)
UPDATE outbox o SET incident_id = homes.incident_id, untold = ARRAY(
    SELECT asked.channel
    FROM unnest(coalesce(o.channels, ARRAY(SELECT jsonb_array_elements_text(
                                               %(rules)s::jsonb -> o.kind)))) AS asked (channel)
    WHERE asked.channel = ANY(%(configured)s::text[])
    ORDER BY 1)
FROM fresh JOIN homes USING (group_key)
WHERE o.event_id = fresh.event_id
RETURNING o.event_id;
