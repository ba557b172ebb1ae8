-- Take a decision back, if no other was made about the mention since: what held before holds again.
INSERT INTO reviews (call_id, mention_id, start_s, decision, decided_by, undoes)
SELECT u.call_id, u.mention_id, u.start_s,
       coalesce((SELECT b.decision FROM reviews b
                 WHERE b.call_id = u.call_id AND b.mention_id = u.mention_id
                   AND b.review_id < u.review_id
                 ORDER BY b.review_id DESC LIMIT 1), 'left'),
       %(by)s, u.review_id
FROM reviews u
WHERE u.review_id = %(review_id)s
  AND NOT EXISTS (SELECT FROM reviews l
                  WHERE l.call_id = u.call_id AND l.mention_id = u.mention_id
                    AND l.review_id > u.review_id)
RETURNING *;
