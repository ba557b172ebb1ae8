CREATE TABLE callpipeline.weekly_reports (
    view_id      bigint PRIMARY KEY REFERENCES callpipeline.saved_views ON DELETE CASCADE,
    weekday      integer NOT NULL CHECK (weekday BETWEEN 1 AND 7),
    at           time NOT NULL,
    has_quotes   boolean NOT NULL,
    set_by       text,
    set_at       timestamptz NOT NULL DEFAULT now(),
    reported_on  date
);
COMMENT ON TABLE callpipeline.weekly_reports IS
    'When the weekly report of a shared view is sent by email, in the time zone of days.';
COMMENT ON COLUMN callpipeline.weekly_reports.weekday IS 'Monday is 1, Sunday is 7.';
COMMENT ON COLUMN callpipeline.weekly_reports.has_quotes IS
    'Whether quotes are sent, if emails may have them.';
COMMENT ON COLUMN callpipeline.weekly_reports.set_at IS
    'The first report is of the next such hour after this time.';
COMMENT ON COLUMN callpipeline.weekly_reports.reported_on IS
    'The day of the last report that was added to the outbox.';

CREATE INDEX calls_by_customer ON callpipeline.calls (lower(metadata ->> 'customer'))
    WHERE metadata ->> 'customer' IS NOT NULL;
