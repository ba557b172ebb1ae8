CREATE TABLE callpipeline.alert_rules (
    rule_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN ('spike', 'sentiment', 'leaving', 'new_competitor')),
    competitor  text,
    threshold   double precision NOT NULL CHECK (threshold >= 0),
    days        integer NOT NULL CHECK (days BETWEEN 1 AND 366),
    min_calls   integer NOT NULL CHECK (min_calls >= 1),
    channels    text[] NOT NULL,
    has_quotes  boolean NOT NULL,
    is_enabled  boolean NOT NULL,
    made_by     text,
    made_at     timestamptz NOT NULL DEFAULT now(),
    checked_at  timestamptz
);
COMMENT ON TABLE callpipeline.alert_rules IS
    'Rules of alerts on what is said in calls; the sensor trouble checks them.';
COMMENT ON COLUMN callpipeline.alert_rules.competitor IS 'The only competitor watched; null if any.';
COMMENT ON COLUMN callpipeline.alert_rules.threshold IS 'In mentions per 100 completed calls.';
COMMENT ON COLUMN callpipeline.alert_rules.channels IS 'Channels to notify; none applies the routing rules.';
COMMENT ON COLUMN callpipeline.alert_rules.has_quotes IS
    'Whether quotes are sent, to channels that may receive them.';
