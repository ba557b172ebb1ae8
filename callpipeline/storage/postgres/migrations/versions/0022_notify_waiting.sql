-- Wakes the process that plans runs (see listen_for_waiting_calls).
CREATE FUNCTION callpipeline.notify_waiting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY callpipeline_waiting;
    RETURN NULL;
END
$$;
CREATE TRIGGER notify_waiting AFTER INSERT OR UPDATE OF state ON callpipeline.calls FOR EACH ROW
    WHEN (NEW.state = 'PENDING') EXECUTE FUNCTION callpipeline.notify_waiting();
