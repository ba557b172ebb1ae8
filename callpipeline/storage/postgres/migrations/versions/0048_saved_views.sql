CREATE TABLE callpipeline.saved_views (
    view_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL CHECK (name <> ''),
    page       text NOT NULL CHECK (page IN ('overview', 'calls', 'analytics', 'moments', 'search',
                                             'competitors', 'competitor')),
    filters    jsonb NOT NULL,
    extras     jsonb NOT NULL,
    days       integer CHECK (days BETWEEN 1 AND 3660),
    is_shared  boolean NOT NULL,
    owner      text NOT NULL,
    made_by    text,
    made_at    timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX saved_views_by_name ON callpipeline.saved_views (owner, lower(name));
CREATE INDEX saved_views_shared ON callpipeline.saved_views (view_id) WHERE is_shared;
COMMENT ON TABLE callpipeline.saved_views IS
    'Filters of pages under a name, for the person who saved them or for all.';
COMMENT ON COLUMN callpipeline.saved_views.filters IS 'The filters, without those that match all.';
COMMENT ON COLUMN callpipeline.saved_views.extras IS
    'Other parameters of the page, such as the words of a search: [[name, value]].';
COMMENT ON COLUMN callpipeline.saved_views.days IS
    'The view is about this many days up to the day it is opened; null if its days are fixed.';
COMMENT ON COLUMN callpipeline.saved_views.owner IS
    'The visitor who saved it: a user, an API key, or the machine itself.';
