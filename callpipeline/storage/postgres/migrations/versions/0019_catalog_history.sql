ALTER TABLE callpipeline.call_stages ADD COLUMN rule_version integer;
UPDATE callpipeline.call_stages SET rule_version = 0 WHERE stage = 'competitor_mentions';
CREATE INDEX call_stages_by_versions ON callpipeline.call_stages (catalog_version, rule_version)
    WHERE stage = 'competitor_mentions';
COMMENT ON COLUMN callpipeline.call_stages.rule_version IS
    'Version of the rules that found the mentions; 0 from before versions were recorded.';

CREATE TABLE callpipeline.catalog_changes (
    change_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version    text NOT NULL REFERENCES callpipeline.catalog_versions,
    parent     text REFERENCES callpipeline.catalog_versions,
    origin     text NOT NULL CHECK (origin IN ('file', 'command', 'page', 'api', 'revert')),
    made_by    text,
    note       text NOT NULL DEFAULT '',
    made_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE callpipeline.catalog_changes IS
    'History of the competitor catalog: the last row is in force. Rows are never changed.';
COMMENT ON COLUMN callpipeline.catalog_changes.parent IS 'The version that this change replaced.';
COMMENT ON COLUMN callpipeline.catalog_changes.made_by IS
    'Login name, or user and machine of a command; null for a changed file.';

CREATE TABLE callpipeline.catalog_files (
    path           text PRIMARY KEY,
    sha256         text NOT NULL,
    version        text REFERENCES callpipeline.catalog_versions,
    problem        text,
    warnings       jsonb NOT NULL DEFAULT '[]',
    seen_at        timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE callpipeline.catalog_files IS
    'Files that the catalog is imported from, with the content that was last read.';
COMMENT ON COLUMN callpipeline.catalog_files.version IS 'The last version that was imported from the file.';
COMMENT ON COLUMN callpipeline.catalog_files.problem IS
    'Why the content was refused; null if it was imported.';

CREATE TABLE callpipeline.rematches (
    rematch_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    catalog_version  text NOT NULL REFERENCES callpipeline.catalog_versions,
    rule_version     integer NOT NULL,
    judges_all       boolean NOT NULL DEFAULT false,
    reason           text NOT NULL,
    asked_by         text,
    calls            integer NOT NULL,
    unaffected       integer NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    paused_at        timestamptz,
    ended_at         timestamptz,
    outcome          text CHECK (outcome IN ('done', 'superseded')),
    CHECK ((ended_at IS NULL) = (outcome IS NULL))
);
CREATE UNIQUE INDEX rematches_open ON callpipeline.rematches ((ended_at IS NULL)) WHERE ended_at IS NULL;
COMMENT ON TABLE callpipeline.rematches IS
    'Rematches of completed calls: mentions and sentiment are found again in stored transcripts.';
COMMENT ON COLUMN callpipeline.rematches.judges_all IS
    'Whether the sentiment of all mentions is judged again, not only of those that changed.';
COMMENT ON COLUMN callpipeline.rematches.calls IS 'Calls that it computes again.';
COMMENT ON COLUMN callpipeline.rematches.unaffected IS
    'Calls whose transcripts have none of the changed names: their results hold unchanged.';
COMMENT ON COLUMN callpipeline.rematches.paused_at IS 'When a person stopped it; null while it continues.';

CREATE TABLE callpipeline.rematch_calls (
    call_id     text PRIMARY KEY REFERENCES callpipeline.calls ON DELETE CASCADE,
    rematch_id  bigint NOT NULL REFERENCES callpipeline.rematches ON DELETE CASCADE,
    error       text
);
CREATE INDEX rematch_calls_by_rematch ON callpipeline.rematch_calls (rematch_id, call_id);
COMMENT ON TABLE callpipeline.rematch_calls IS
    'Calls that a rematch still has to compute, or could not; a row goes with the new results.';

CREATE TABLE callpipeline.replaced_judgements (
    call_id     text NOT NULL REFERENCES callpipeline.calls ON DELETE CASCADE,
    mention_id  text NOT NULL,
    context     text NOT NULL,
    competitor  text NOT NULL,
    sentiment   text NOT NULL,
    score       double precision NOT NULL,
    rule        text NOT NULL,
    quote       text NOT NULL,
    engine      text NOT NULL,
    PRIMARY KEY (call_id, mention_id, context)
);
COMMENT ON TABLE callpipeline.replaced_judgements IS
    'Sentiment that a rematch removed: an earlier catalog gets exactly the same back.';
COMMENT ON COLUMN callpipeline.replaced_judgements.context IS
    'Hash of the segment and of the names that counted in it.';
