CREATE TABLE callpipeline.reported_alerts (
    rule_id      bigint NOT NULL REFERENCES callpipeline.alert_rules ON DELETE CASCADE,
    subject      text NOT NULL,
    reported_on  date NOT NULL,
    PRIMARY KEY (rule_id, subject)
);
COMMENT ON TABLE callpipeline.reported_alerts IS
    'When a rule last reported a competitor or a call; events in the outbox are deleted earlier.';
COMMENT ON COLUMN callpipeline.reported_alerts.subject IS
    'Kind of alert and competitor, or the call of a customer who leaves.';
