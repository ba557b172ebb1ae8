CREATE TABLE outages (
    service   text PRIMARY KEY,
    reason    text NOT NULL,
    tries     integer NOT NULL DEFAULT 0,
    since     timestamptz NOT NULL DEFAULT now(),
    again_at  timestamptz NOT NULL
);
COMMENT ON TABLE outages IS 'Services that answer nobody. One request tries at again_at.';
ALTER TABLE calls ADD COLUMN away_since timestamptz;
COMMENT ON COLUMN calls.away_since IS
    'Since when the call waits for a service that is away; null where it does not.';
CREATE INDEX calls_away ON calls (away_since) WHERE away_since IS NOT NULL;
