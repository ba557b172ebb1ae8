CREATE TABLE callpipeline.audit_log (
    entry_id  uuid PRIMARY KEY,
    at        timestamptz NOT NULL,
    action    text NOT NULL CHECK (action IN
              ('listened', 'read', 'exported', 'uploaded', 'corrected', 'erased', 'changed',
               'operated')),
    actor     text NOT NULL,
    method    text NOT NULL,
    address   text,
    what      text NOT NULL,
    target    text
);
CREATE INDEX audit_log_by_time ON callpipeline.audit_log (at DESC);
CREATE INDEX audit_log_by_target ON callpipeline.audit_log (target, at DESC) WHERE target IS NOT NULL;
COMMENT ON TABLE callpipeline.audit_log IS
    'Who listened to, read, exported, corrected, erased or changed what. Rows are never changed.';
COMMENT ON COLUMN callpipeline.audit_log.actor IS
    'User, API key, or user and machine of a command.';
COMMENT ON COLUMN callpipeline.audit_log.method IS
    'How the actor is known: login, proxy, key, loopback or command.';
COMMENT ON COLUMN callpipeline.audit_log.address IS 'Address of the client; null if unknown.';
COMMENT ON COLUMN callpipeline.audit_log.what IS 'Route or command.';
COMMENT ON COLUMN callpipeline.audit_log.target IS
    'The call; null for other things. Not a foreign key: entries outlive calls.';

CREATE VIEW callpipeline.audit_entries AS
SELECT at, action, actor, method, address, what, target AS call_id FROM callpipeline.audit_log;
COMMENT ON VIEW callpipeline.audit_entries IS
    'The audit log, for auditors: GRANT USAGE ON SCHEMA callpipeline and SELECT on this view.';
