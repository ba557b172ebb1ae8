CREATE INDEX call_stages_by_time ON call_stages (stage, stored_at);

-- What belongs together, and is told at most once in ten minutes: an outage, a fault that repeats.
CREATE TABLE incidents (
    incident_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    group_key      text NOT NULL,
    kind           text NOT NULL,
    stage          text,
    recovers       boolean NOT NULL,
    opened_at      timestamptz NOT NULL,
    last_event_at  timestamptz NOT NULL,
    cleared_at     timestamptz,
    closed_at      timestamptz
);
CREATE UNIQUE INDEX incidents_open ON incidents (group_key) WHERE closed_at IS NULL;
CREATE INDEX incidents_by_group ON incidents (group_key, opened_at);
COMMENT ON COLUMN incidents.recovers IS 'Whether people are told when it is over.';
COMMENT ON COLUMN incidents.cleared_at IS 'When what was wrong was seen to be well again.';

-- The outbox: each event that people may want to know of, written with what makes it true.
CREATE TABLE outbox (
    event_id       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    kind           text NOT NULL,
    severity       text NOT NULL CHECK (severity IN ('info', 'warning', 'error', 'critical')),
    group_key      text NOT NULL,
    subject        text UNIQUE,
    recovers       boolean NOT NULL DEFAULT false,
    title          text NOT NULL DEFAULT '',
    message        text NOT NULL DEFAULT '',
    call_id        text REFERENCES calls ON DELETE CASCADE,
    run_id         text,
    stage          text,
    error_class    text,
    error_message  text,
    metadata       jsonb NOT NULL DEFAULT '{}',
    channels       text[],
    occurred_at    timestamptz NOT NULL DEFAULT now(),
    incident_id    bigint REFERENCES incidents,
    untold         text[] NOT NULL DEFAULT '{}'
);
CREATE INDEX outbox_new ON outbox (occurred_at) WHERE incident_id IS NULL;
CREATE INDEX outbox_untold ON outbox (incident_id) WHERE untold <> '{}';
CREATE INDEX outbox_by_incident ON outbox (incident_id);
CREATE INDEX outbox_by_group ON outbox (group_key, kind);
CREATE INDEX outbox_by_call ON outbox (call_id) WHERE call_id IS NOT NULL;
COMMENT ON COLUMN outbox.subject IS 'What happened, where it must not be told twice.';
COMMENT ON COLUMN outbox.channels IS 'The channels that were asked for; null leaves it to the rules.';
COMMENT ON COLUMN outbox.incident_id IS 'Null until the dispatcher has seen the event.';
COMMENT ON COLUMN outbox.untold IS 'The channels that no notification tells of it yet.';

-- Messages: one to one channel, of one or many events. Their id is the same at every try.
CREATE TABLE notifications (
    notification_id  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    number           bigint GENERATED ALWAYS AS IDENTITY,
    incident_id      bigint NOT NULL REFERENCES incidents,
    channel          text NOT NULL,
    part             text NOT NULL CHECK (part IN ('opening', 'update', 'recovery')),
    state            text NOT NULL DEFAULT 'PENDING'
                     CHECK (state IN ('PENDING', 'DELIVERED', 'GAVE_UP')),
    created_at       timestamptz NOT NULL,
    not_before       timestamptz NOT NULL,
    leased_until     timestamptz,
    attempts         integer NOT NULL DEFAULT 0,
    attempts_before  integer NOT NULL DEFAULT 0,
    asked_until      timestamptz,
    hurried          boolean NOT NULL DEFAULT false,
    delivered_at     timestamptz,
    receipt          text,
    CHECK ((state = 'DELIVERED') = (delivered_at IS NOT NULL))
);
CREATE INDEX notifications_due ON notifications (channel, not_before) WHERE state = 'PENDING';
CREATE INDEX notifications_in_turn ON notifications (incident_id, channel, number)
    WHERE state = 'PENDING';
CREATE INDEX notifications_by_incident ON notifications (incident_id, channel, number);
CREATE INDEX notifications_by_number ON notifications (number);
COMMENT ON COLUMN notifications.leased_until IS
    'Until then whoever took it delivers it; later another one may, since that one died.';
COMMENT ON COLUMN notifications.attempts_before IS
    'Of the attempts those before a person asked for it again: its waits began anew then.';
COMMENT ON COLUMN notifications.asked_until IS 'The receiver wants to be left alone until then.';
COMMENT ON COLUMN notifications.hurried IS
    'Whether its wait was cut short once, since others arrived: then it is refused for its own sake.';
COMMENT ON COLUMN notifications.receipt IS 'The receiver''s own name of the message, for threads.';

-- Which message tells which event: each event once to each channel.
CREATE TABLE notification_events (
    event_id         uuid NOT NULL REFERENCES outbox ON DELETE CASCADE,
    channel          text NOT NULL,
    notification_id  uuid NOT NULL REFERENCES notifications ON DELETE CASCADE,
    PRIMARY KEY (event_id, channel)
);
CREATE INDEX notification_events_by_notification ON notification_events (notification_id);

-- Each try to deliver a message, with the receiver's answer.
CREATE TABLE deliveries (
    notification_id  uuid NOT NULL REFERENCES notifications ON DELETE CASCADE,
    attempt          integer NOT NULL,
    at               timestamptz NOT NULL,
    took_s           double precision NOT NULL,
    accepted         boolean NOT NULL,
    code             text NOT NULL,
    answer           text NOT NULL,
    PRIMARY KEY (notification_id, attempt)
);

-- Receivers that answered that they want nothing any more.
CREATE TABLE receivers_off (
    channel  text PRIMARY KEY,
    address  text NOT NULL,
    since    timestamptz NOT NULL,
    answer   text NOT NULL
);
COMMENT ON COLUMN receivers_off.address IS 'A hash of its address: another address is not off.';

-- Whatever lets a call end FAILED tells of it: no statement can forget to.
CREATE FUNCTION tell_failed_call() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$
BEGIN
    INSERT INTO outbox (kind, severity, group_key, recovers, call_id, run_id, stage, error_class,
                        error_message)
    VALUES ('call_failed', 'error',
            concat_ws(':', 'call_failed', NEW.error_stage, NEW.error_class),
            coalesce(NEW.error_transient, false), NEW.call_id, OLD.claimed_by, NEW.error_stage,
            NEW.error_class, NEW.error_message);
    RETURN NULL;
END
$$;
CREATE TRIGGER tell_failed_call AFTER UPDATE OF state ON calls FOR EACH ROW
    WHEN (NEW.state = 'FAILED' AND OLD.state <> 'FAILED')
    EXECUTE FUNCTION tell_failed_call();
