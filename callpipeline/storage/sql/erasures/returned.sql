-- Calls of bytes that were erased because somebody asked for it: they came in again, or were read
-- while the first one was erased. Tombstones by age have no bytes.
SELECT c.call_id FROM calls c JOIN calls e ON e.sha256 = c.sha256
WHERE e.state = 'ERASED' AND c.state <> 'ERASED' ORDER BY c.call_id;
