-- Times are milliseconds since 1970. Small integers stand for subscription names.
CREATE TABLE subscription (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);

CREATE TABLE record (
    id INTEGER PRIMARY KEY,
    partition TEXT NOT NULL,
    sort TEXT NOT NULL,
    version INTEGER NOT NULL,
    expires_at INTEGER,
    index_partition TEXT,            -- both or none
    index_sort TEXT,
    body BLOB NOT NULL
);
CREATE UNIQUE INDEX record_key ON record (partition, sort);
CREATE INDEX record_expiry ON record (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX record_index ON record (index_partition, index_sort) WHERE index_partition IS NOT NULL;

CREATE TABLE delivery (
    id INTEGER PRIMARY KEY,
    subscription INTEGER NOT NULL,
    visible_at INTEGER NOT NULL,     -- when it may be received: its delay or its lease runs out
    lease INTEGER NOT NULL,          -- the lease's number, 0 when it is not leased
    receives INTEGER NOT NULL,
    enqueued_at INTEGER NOT NULL,
    body BLOB NOT NULL               -- CloudEvent in structured JSON
);
CREATE INDEX delivery_visible ON delivery (subscription, visible_at);

CREATE TABLE inbox (
    event TEXT NOT NULL,
    subscription INTEGER NOT NULL,
    PRIMARY KEY (event, subscription)
) WITHOUT ROWID;

CREATE TABLE dead_letter (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    subscription INTEGER NOT NULL,
    body BLOB NOT NULL,
    reason TEXT NOT NULL,
    receives INTEGER NOT NULL,
    died_at INTEGER NOT NULL
);
CREATE INDEX dead_letter_subscription ON dead_letter (subscription, id);
