-- Note from where the recording of a call is to be fetched.
INSERT INTO announced (call_id, identity, url) VALUES (%(call_id)s, %(identity)s, %(url)s);
