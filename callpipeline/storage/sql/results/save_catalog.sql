-- Remember a version of the competitor list.
INSERT INTO catalog_versions (version, content) VALUES (%(version)s, %(content)s)
ON CONFLICT DO NOTHING;
