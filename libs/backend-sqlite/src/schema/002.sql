-- AUTOINCREMENT: no number is given twice, so a receipt whose delivery has ended means no other.
CREATE TABLE numbered (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    subscription INTEGER NOT NULL,
    visible_at INTEGER NOT NULL,     -- when it may be received: its delay or its lease runs out
    lease INTEGER NOT NULL,          -- the lease's number, 0 when it is not leased
    receives INTEGER NOT NULL,
    enqueued_at INTEGER NOT NULL,
    body BLOB NOT NULL               -- CloudEvent in structured JSON
);
INSERT INTO numbered (id, subscription, visible_at, lease, receives, enqueued_at, body)
    SELECT id, subscription, visible_at, lease, receives, enqueued_at, body FROM delivery;
DROP TABLE delivery;
ALTER TABLE numbered RENAME TO delivery;
CREATE INDEX delivery_visible ON delivery (subscription, visible_at);
