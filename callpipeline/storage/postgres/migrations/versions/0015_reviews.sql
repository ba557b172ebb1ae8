CREATE TABLE callpipeline.reviews (
    review_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    call_id     text NOT NULL REFERENCES callpipeline.calls ON DELETE CASCADE,
    mention_id  text NOT NULL,
    start_s     double precision NOT NULL,
    decision    text NOT NULL CHECK (decision IN ('accepted', 'refused', 'left')),
    decided_by  text,
    decided_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    undoes      bigint REFERENCES callpipeline.reviews ON DELETE CASCADE
);
CREATE INDEX reviews_by_mention ON callpipeline.reviews (call_id, mention_id, review_id DESC);
COMMENT ON TABLE callpipeline.reviews IS
    'What people decided about mentions, each decision; the last one of a mention holds.';
COMMENT ON COLUMN callpipeline.reviews.mention_id IS
    'Of no foreign key: a mention that is not found any more may be found again.';
COMMENT ON COLUMN callpipeline.reviews.start_s IS
    'Where it was said: in another transcript the same id may be another word.';
COMMENT ON COLUMN callpipeline.reviews.decision IS
    'accepted, refused, or left to the rules, as before anybody decided.';
COMMENT ON COLUMN callpipeline.reviews.undoes IS 'The decision that this one takes back.';

ALTER TABLE callpipeline.mentions ADD COLUMN found_status text, ADD COLUMN found_reason text;
COMMENT ON COLUMN callpipeline.mentions.found_status IS
    'What the rules say, where a person decided otherwise or the same; else null.';
COMMENT ON COLUMN callpipeline.mentions.found_reason IS 'The rule that said so.';
CREATE INDEX mentions_unsure ON callpipeline.mentions (competitor, call_id) WHERE status = 'unsure';
