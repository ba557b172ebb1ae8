-- Forget what was made of a call that turned out to be another one: it must not count twice.
-- Segments go with their transcripts, sentiment, or why there is none, with its mentions.
WITH call AS (SELECT %(call_id)s::text AS call_id),
audio AS (DELETE FROM recordings USING call WHERE recordings.call_id = call.call_id),
tracks AS (DELETE FROM channels USING call WHERE channels.call_id = call.call_id),
metrics AS (DELETE FROM call_metrics USING call WHERE call_metrics.call_id = call.call_id),
said AS (DELETE FROM transcripts USING call WHERE transcripts.call_id = call.call_id),
named AS (DELETE FROM mentions USING call WHERE mentions.call_id = call.call_id)
DELETE FROM call_stages USING call WHERE call_stages.call_id = call.call_id;
