-- name: delete_other_mentions
-- Delete the mentions of a call that were not found this time.
DELETE FROM mentions WHERE call_id = %(call_id)s AND NOT (mention_id = ANY(%(mention_ids)s::text[]));

-- name: forget_replaced
-- Delete the judgements that were kept for an earlier catalog.
DELETE FROM replaced_judgements WHERE call_id = %(call_id)s;

-- name: is_withheld
-- Check whether the audio of a call can't be played yet.
SELECT withheld FROM recordings WHERE call_id = %(call_id)s;

-- name: lock_audio
-- Lock a call that no run has claimed while objects are stored beside its audio. Returns its
-- channels if their audio is still stored.
WITH call AS MATERIALIZED (
    SELECT call_id FROM calls
    WHERE call_id = %(call_id)s AND state IN ('COMPLETED', 'FAILED') FOR NO KEY UPDATE
)
SELECT channel, sha256 FROM channels JOIN call USING (call_id)
WHERE EXISTS (SELECT FROM stored_stages s WHERE s.call_id = call.call_id AND s.stage = 'channel_audio');

-- name: mute_channel
-- Record the hash and the size of a channel's audio after it was muted.
UPDATE channels SET sha256 = %(sha256)s, size_bytes = %(size)s
WHERE call_id = %(call_id)s AND channel = %(channel)s;

-- name: release_audio
-- Let the audio of a call be played.
UPDATE recordings SET withheld = false WHERE call_id = %(call_id)s AND withheld;

-- name: save_stage
-- Record that a stage of a call is stored.
INSERT INTO call_stages (call_id, stage, run_id, engine, catalog_version, rule_version, took_s,
                         stored_at)
VALUES (%(call_id)s, %(stage)s, %(run_id)s, %(engine)s, %(catalog_version)s, %(rule_version)s,
        %(took_s)s, clock_timestamp())
ON CONFLICT (call_id, stage) DO UPDATE SET
    run_id = excluded.run_id, engine = excluded.engine, took_s = excluded.took_s,
    catalog_version = excluded.catalog_version, rule_version = excluded.rule_version,
    stored_at = excluded.stored_at;

-- name: untrusted_transcripts
-- List those of these calls whose transcripts have no words, are unreliable, or have a channel with
-- more unheard speech than the limit, with the seconds of such channels.
SELECT call_id, sum(word_count) = 0 AS is_wordless, NOT bool_and(reliable) AS is_unreliable,
       coalesce(sum(unheard_s) FILTER (WHERE unheard_s > %(max_unheard_s)s), 0) AS unheard_s
FROM transcripts
WHERE call_id = ANY(%(call_ids)s)
GROUP BY call_id
HAVING sum(word_count) = 0 OR NOT bool_and(reliable) OR max(unheard_s) > %(max_unheard_s)s;

-- name: withhold_audio
-- Let the audio of a call not be played until it is muted.
UPDATE recordings SET withheld = true WHERE call_id = %(call_id)s;
