CREATE TABLE profile (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    sealed BLOB NOT NULL
) STRICT;

CREATE TABLE cursors (
    room_id BLOB PRIMARY KEY,
    incarnation BLOB NOT NULL,
    seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sends (
    client_id BLOB PRIMARY KEY,
    ord INTEGER NOT NULL,
    room_id BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;

CREATE TABLE bursts (
    burst_id BLOB PRIMARY KEY,
    begun_at INTEGER NOT NULL,
    room_id BLOB NOT NULL,
    header TEXT NOT NULL,
    priority TEXT NOT NULL,
    granted INTEGER NOT NULL DEFAULT 0,
    ended INTEGER NOT NULL DEFAULT 0,
    delivered INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE frames (
    burst_id BLOB NOT NULL REFERENCES bursts (burst_id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (burst_id, number)
) STRICT, WITHOUT ROWID;
