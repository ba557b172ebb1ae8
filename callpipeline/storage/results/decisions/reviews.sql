-- name: answers
-- List reviewers' answers about ambiguous names, one for each call and phrase, with the log-odds and
-- the phrase at the time: the mention may have changed since.
SELECT DISTINCT ON (l.competitor, l.call_id, l.phrase)
       l.competitor, l.log_odds, l.phrase, l.decision = 'confirmed' AS is_company
FROM (SELECT DISTINCT ON (call_id, mention_id) * FROM reviews
      WHERE competitor = ANY(%(competitors)s::text[])
      ORDER BY call_id, mention_id, review_id DESC) AS l
WHERE l.decision <> 'reset' AND l.log_odds IS NOT NULL
ORDER BY l.competitor, l.call_id, l.phrase, l.decided_at DESC, abs(l.log_odds), l.mention_id;

-- name: apply
-- Apply the last decision on each mention of a call, and keep the status that the rules found. In
-- a new transcript the same id may be another word: then its time differs.
WITH latest AS (
    SELECT DISTINCT ON (mention_id) mention_id, start_s, decision FROM reviews
    WHERE call_id = %(call_id)s ORDER BY mention_id, review_id DESC
)
UPDATE mentions m SET
    status = CASE l.decision WHEN 'confirmed' THEN 'counted' WHEN 'dismissed' THEN 'dismissed'
             ELSE coalesce(m.found_status, m.status) END,
    reason = CASE l.decision WHEN 'confirmed' THEN 'a person confirmed it'
             WHEN 'dismissed' THEN 'a person dismissed it'
             ELSE coalesce(m.found_reason, m.reason) END,
    found_status = CASE WHEN l.decision <> 'reset' THEN coalesce(m.found_status, m.status) END,
    found_reason = CASE WHEN l.decision <> 'reset' THEN coalesce(m.found_reason, m.reason) END
FROM latest l
WHERE m.call_id = %(call_id)s AND m.mention_id = l.mention_id
  AND abs(m.start_s - l.start_s) <= %(near_s)s
RETURNING m.mention_id, m.status, m.reason;

-- name: call_of_review
-- Select the call that a decision is about.
SELECT call_id FROM reviews WHERE review_id = %(review_id)s;

-- name: count_pending
-- Count the open questions about completed calls by competitor, most first: one for each call and
-- competitor.
SELECT competitor, count(*) AS mentions
FROM (SELECT DISTINCT m.competitor, m.call_id FROM mentions m WHERE m.status = 'needs_review') AS m
-- Few calls are not completed, so excluding those is less work.
WHERE NOT EXISTS (
    SELECT FROM reading_calls r WHERE r.call_id = m.call_id
      AND r.state IN ('PENDING', 'PROCESSING', 'FAILED', 'DUPLICATE', 'ERASED'))
GROUP BY competitor ORDER BY mentions DESC, competitor;

-- name: count_decisions
-- Count the mentions that people confirmed and dismissed, by competitor; the last decision on each
-- mention counts.
SELECT competitor, count(*) FILTER (WHERE decision = 'confirmed') AS confirmed,
       count(*) FILTER (WHERE decision = 'dismissed') AS dismissed
FROM (SELECT DISTINCT ON (r.call_id, r.mention_id) r.decision,
             coalesce(r.competitor, m.competitor) AS competitor
      FROM reviews r LEFT JOIN mentions m USING (call_id, mention_id)
      ORDER BY r.call_id, r.mention_id, r.review_id DESC) AS latest
WHERE decision <> 'reset' AND competitor IS NOT NULL
GROUP BY competitor;

-- name: follow
-- Let decisions and corrections follow mentions whose place in the text changed, because a number
-- before them was masked: the channel, the competitor and the time are still the same. Nothing
-- follows where several mentions have the same time.
WITH found AS (
    SELECT split_part(id, '.', 1) AS channel, start_s, min(id) AS mention_id,
           regexp_replace(id, '^([^.]*\.){3}', '') AS competitor
    FROM unnest(%(mention_ids)s::text[], %(starts)s::float8[]) AS given (id, start_s)
    GROUP BY 1, 2, 4 HAVING count(*) = 1
), moved AS (
    SELECT DISTINCT m.mention_id AS before, f.mention_id AS after
    FROM mentions m JOIN found f ON m.channel = f.channel AND m.competitor = f.competitor
        AND abs(m.start_s - f.start_s) < 0.001
    WHERE m.call_id = %(call_id)s AND NOT m.mention_id = ANY(%(mention_ids)s::text[])
), corrected AS (
    UPDATE sentiment_corrections c SET mention_id = moved.after FROM moved
    WHERE c.call_id = %(call_id)s AND c.mention_id = moved.before
)
UPDATE reviews r SET mention_id = moved.after FROM moved
WHERE r.call_id = %(call_id)s AND r.mention_id = moved.before;

-- name: insert
-- Insert a decision on a mention, if it exists. If it was open, it also holds for the others of the
-- competitor in the call that are open, or that a moderate score decided; after an answer about a phrase
-- only for those that begin the same phrase. Retention deletes phrases with the transcript: then, what
-- a moderate score decided stays. One question for each competitor and call.
WITH asked AS (
    SELECT competitor, phrase FROM mentions
    WHERE call_id = %(call_id)s AND mention_id = %(mention_id)s AND status = 'needs_review'
), now AS MATERIALIZED (SELECT clock_timestamp() AS decided_at)
INSERT INTO reviews (call_id, mention_id, start_s, decision, decided_by, decided_at, competitor,
                     log_odds, phrase)
SELECT call_id, mention_id, start_s, %(decision)s, %(by)s, now.decided_at, competitor, log_odds,
       phrase
FROM mentions m CROSS JOIN now
WHERE call_id = %(call_id)s
  AND (mention_id = %(mention_id)s
       OR m.competitor = (SELECT competitor FROM asked)
          AND (m.status = 'needs_review'
               OR m.found_status IS NULL AND abs(m.log_odds) < %(max_log_odds)s
                  AND (SELECT phrase FROM asked) IN ('', m.phrase)
                  AND EXISTS (SELECT FROM stored_stages s
                              WHERE s.call_id = m.call_id AND s.stage = 'transcripts')))
RETURNING *;

-- name: list
-- List every decision on the mentions of a call, or on one of them, newest first.
SELECT * FROM reviews
WHERE call_id = %(call_id)s AND (%(mention_id)s::text IS NULL OR mention_id = %(mention_id)s)
ORDER BY review_id DESC;

-- name: list_pending
-- List the open questions about completed calls, after a cursor. Of the open mentions of a competitor
-- in a call, the least certain one is asked. The order is how much an answer is worth: how uncertain
-- the mention is, p * (1 - p), times the calls that wait for answers about the competitor; newest
-- calls first where that is equal. Segment texts are read only for the listed mentions.
WITH asked AS MATERIALIZED (
    SELECT DISTINCT ON (m.call_id, m.competitor) m.call_id, m.mention_id, m.competitor,
           coalesce(c.started_at, c.last_modified) AS took_place_at, c.metadata ->> 'agent' AS agent,
           coalesce(m.log_odds, 0) AS log_odds
    FROM mentions m JOIN calls c USING (call_id)
    WHERE m.status = 'needs_review' AND c.state = 'COMPLETED'
      AND (%(competitor)s::text IS NULL OR m.competitor = %(competitor)s)
    ORDER BY m.call_id, m.competitor, abs(coalesce(m.log_odds, 0)), m.start_s, m.mention_id
), ranked AS (
    SELECT call_id, mention_id, took_place_at, agent,
           round((count(*) OVER (PARTITION BY competitor)
                  / (2 + 2 * cosh(greatest(-30, least(30, log_odds)))))::numeric, 6)::float8 AS worth
    FROM asked
), page AS MATERIALIZED (
    SELECT * FROM ranked
    WHERE %(call_id)s::text IS NULL
       OR worth < %(worth)s
       OR worth = %(worth)s
          AND (took_place_at < %(took_place_at)s::timestamptz
               OR took_place_at = %(took_place_at)s::timestamptz
                  AND (call_id, mention_id) < (%(call_id)s, %(mention_id)s))
    ORDER BY worth DESC, took_place_at DESC, call_id DESC, mention_id DESC
    LIMIT %(limit)s
)
SELECT m.*, page.took_place_at, page.agent, page.worth, s.text AS segment_text
FROM page JOIN mentions m USING (call_id, mention_id)
LEFT JOIN segments s USING (call_id, channel, segment_index)
ORDER BY page.worth DESC, page.took_place_at DESC, call_id DESC, mention_id DESC;

-- name: lock_call
-- Lock the row of a call that is not erased: runs that write to it wait, or came first.
SELECT state FROM calls WHERE call_id = %(call_id)s AND state <> 'ERASED' FOR NO KEY UPDATE;

-- name: present
-- Return the status of a mention, and the last decision on it.
SELECT m.status, r.decision, r.decided_by,
       ceil(extract(epoch FROM clock_timestamp() - r.decided_at) / 60)::integer AS minutes
FROM mentions m
LEFT JOIN LATERAL (
    SELECT * FROM reviews r WHERE r.call_id = m.call_id AND r.mention_id = m.mention_id
    ORDER BY r.review_id DESC LIMIT 1) AS r ON true
WHERE m.call_id = %(call_id)s AND m.mention_id = %(mention_id)s;

-- name: reconcile_sentiment
-- Bring the sentiment of reviewed mentions in line with the decisions. That of mentions that do not
-- count is set aside, without the corrections of people, which apply again. Those that count get
-- theirs back; those without one are queued for judging, or never judged if the text is deleted.
WITH reviewed AS (
    SELECT m.* FROM mentions m
    WHERE m.call_id = %(call_id)s
      AND EXISTS (SELECT FROM reviews r
                  WHERE r.call_id = m.call_id AND r.mention_id = m.mention_id)
), set_aside AS (
    INSERT INTO replaced_judgements (call_id, mention_id, context, competitor, sentiment, score,
                                     rule, quote, engine, confidence, switching, switching_quote)
    SELECT s.call_id, s.mention_id, 'dismissed', s.competitor,
           coalesce(s.judged ->> 'sentiment', s.sentiment),
           coalesce((s.judged ->> 'score')::float8, s.score),
           coalesce(s.judged ->> 'rule', s.rule), s.quote, s.engine,
           CASE WHEN s.judged IS NULL THEN s.confidence
                ELSE (s.judged ->> 'confidence')::float8 END,
           s.switching, s.switching_quote
    FROM sentiment s JOIN reviewed m USING (call_id, mention_id) WHERE m.status <> 'counted'
    ON CONFLICT (call_id, mention_id, context) DO UPDATE SET
        competitor = excluded.competitor, sentiment = excluded.sentiment, score = excluded.score,
        rule = excluded.rule, quote = excluded.quote, engine = excluded.engine,
        confidence = excluded.confidence, switching = excluded.switching,
        switching_quote = excluded.switching_quote
), taken AS (
    DELETE FROM replaced_judgements r USING reviewed m
    WHERE r.call_id = m.call_id AND r.mention_id = m.mention_id AND r.context = 'dismissed'
      AND m.status = 'counted'
    RETURNING r.*
), given_back AS (
    INSERT INTO sentiment (call_id, mention_id, competitor, sentiment, score, rule, quote, engine,
                           confidence, switching, switching_quote)
    SELECT call_id, mention_id, competitor, sentiment, score, rule, quote, engine, confidence,
           switching, switching_quote
    FROM taken
    ON CONFLICT (call_id, mention_id) DO NOTHING
    RETURNING mention_id
), deleted_sentiment AS (
    DELETE FROM sentiment s USING reviewed m
    WHERE s.call_id = m.call_id AND s.mention_id = m.mention_id AND m.status <> 'counted'
), deleted_unjudged AS (
    DELETE FROM unjudged u USING reviewed m
    WHERE u.call_id = m.call_id AND u.mention_id = m.mention_id AND m.status <> 'counted'
), transcripts AS (
    SELECT EXISTS (SELECT FROM stored_stages s
                   WHERE s.call_id = %(call_id)s AND s.stage = 'transcripts') AS are_stored
)
INSERT INTO unjudged (call_id, mention_id, competitor, reason, error_class, transient, tries,
                      next_attempt_at)
SELECT m.call_id, m.mention_id, m.competitor,
       CASE WHEN t.are_stored THEN 'Confirmed by a reviewer; its sentiment is judged next.'
            ELSE 'The transcript was deleted under your retention policy.' END,
       CASE WHEN t.are_stored THEN 'Reviewed' ELSE 'MissingObject' END,
       t.are_stored, 0, CASE WHEN t.are_stored THEN now() END
FROM reviewed m CROSS JOIN transcripts t
WHERE m.status = 'counted'
  AND NOT EXISTS (SELECT FROM sentiment s
                  WHERE s.call_id = m.call_id AND s.mention_id = m.mention_id)
  AND m.mention_id NOT IN (SELECT mention_id FROM given_back)
  AND NOT EXISTS (SELECT FROM unjudged u
                  WHERE u.call_id = m.call_id AND u.mention_id = m.mention_id);

-- name: forget_set_aside
-- Delete the sentiment of dismissed mentions, because the call is judged again.
DELETE FROM replaced_judgements WHERE call_id = %(call_id)s AND context = 'dismissed';

-- name: touch_call
-- Mark a completed call as changed, so that its day is counted again. A call in progress changes
-- when it ends.
UPDATE calls SET updated_at = now() WHERE call_id = %(call_id)s AND state = 'COMPLETED';

-- name: undo
-- Undo a decision, with what it decided on other mentions of the call, unless a later one exists
-- for the mention: the decisions before it hold again.
WITH undone AS (
    SELECT u.* FROM reviews u JOIN reviews asked USING (call_id, decided_at)
    WHERE asked.review_id = %(review_id)s
      AND NOT EXISTS (SELECT FROM reviews l
                      WHERE l.call_id = u.call_id AND l.mention_id = u.mention_id
                        AND l.review_id > u.review_id)
)
INSERT INTO reviews (call_id, mention_id, start_s, decision, decided_by, undoes, competitor,
                     log_odds, phrase)
SELECT u.call_id, u.mention_id, u.start_s,
       coalesce((SELECT b.decision FROM reviews b
                 WHERE b.call_id = u.call_id AND b.mention_id = u.mention_id
                   AND b.review_id < u.review_id
                 ORDER BY b.review_id DESC LIMIT 1), 'reset'),
       %(by)s, u.review_id, u.competitor, u.log_odds, u.phrase
FROM undone u
WHERE EXISTS (SELECT FROM undone a WHERE a.review_id = %(review_id)s)
RETURNING *;
