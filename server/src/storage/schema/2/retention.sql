-- How long rooms keep their events, and which must not lose any.

CREATE TABLE room_retention (
    workspace_id BLOB    NOT NULL,
    room_id      BLOB    NOT NULL,
    -- NULL: the workspace's policy; 0: for ever.
    days         INTEGER,
    -- Since when nothing may be removed; NULL: something may.
    held_at      INTEGER,
    PRIMARY KEY (workspace_id, room_id)
) STRICT, WITHOUT ROWID;

-- Rooms whose key is deleted and whose rows, which nobody can read any more, are being removed bit by bit.
CREATE TABLE shredded_rooms (
    room_id     BLOB    NOT NULL PRIMARY KEY,
    shredded_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
