-- name: list
-- List the corrections of a call's words, oldest first.
SELECT channel, start_s, end_s, original, text, segment_index, first_word, end_word, corrected_by,
       corrected_at
FROM word_corrections
WHERE call_id = %(call_id)s ORDER BY correction_id;

-- name: insert
-- Insert a correction.
INSERT INTO word_corrections (call_id, channel, start_s, end_s, original, text, segment_index,
                              first_word, end_word, corrected_by)
VALUES (%(call_id)s, %(channel)s, %(start_s)s, %(end_s)s, %(original)s, %(text)s, %(segment_index)s,
        %(first_word)s, %(end_word)s, %(by)s);

-- name: lock_call
-- Lock the row of a call that is not erased: runs that write to it wait, or came first.
SELECT state, bucket FROM calls WHERE call_id = %(call_id)s AND state <> 'ERASED'
FOR NO KEY UPDATE;

-- name: ask_rematch
-- Leave a call for the next rematch, so that its mentions follow even if none can be opened now: it
-- joins an ended one. An open one may have read the call before.
INSERT INTO rematch_calls (call_id, rematch_id, stage)
SELECT %(call_id)s, rematch_id, 'competitor_sentiment' FROM rematches
WHERE ended_at IS NOT NULL ORDER BY rematch_id DESC LIMIT 1
ON CONFLICT (call_id) DO UPDATE SET
    rematch_id = excluded.rematch_id, error = NULL, deferrals = 0, next_attempt_at = NULL,
    deferred_because = NULL, stage = greatest(rematch_calls.stage, excluded.stage);

-- name: update_segment
-- Give a segment the corrected text, and its transcript the number of words.
WITH segment AS (
    UPDATE segments SET text = %(text)s
    WHERE call_id = %(call_id)s AND channel = %(channel)s AND segment_index = %(segment_index)s
)
UPDATE transcripts SET word_count = %(word_count)s
WHERE call_id = %(call_id)s AND channel = %(channel)s;

-- name: present
-- Return the text of a segment, and the last correction of its words.
SELECT s.text, k.corrected_by,
       ceil(extract(epoch FROM clock_timestamp() - k.corrected_at) / 60)::integer AS minutes
FROM segments s
LEFT JOIN LATERAL (
    SELECT * FROM word_corrections k
    WHERE k.call_id = s.call_id AND k.channel = s.channel
      AND k.start_s < s.end_s AND k.end_s > s.start_s
    ORDER BY k.correction_id DESC LIMIT 1) AS k ON true
WHERE s.call_id = %(call_id)s AND s.channel = %(channel)s
  AND s.segment_index = %(segment_index)s;

-- name: forget_masked
-- Delete the corrections of words that were masked since: they may hold what is masked.
-- What has no length is masked at its point, as all of a segment without times is.
DELETE FROM word_corrections
WHERE call_id = %(call_id)s AND channel = %(channel)s AND start_s <= %(end_s)s AND end_s >= %(start_s)s
  AND (start_s = end_s OR %(start_s)s::float = %(end_s)s OR start_s < %(end_s)s AND end_s > %(start_s)s);

-- name: forget_all
-- Delete the corrections of a call whose stored transcript has the corrected words.
DELETE FROM word_corrections WHERE call_id = %(call_id)s;
