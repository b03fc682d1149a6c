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

-- Rooms whose key is deleted. Their rows, which nobody can read any more, are removed bit by bit; the receipt stays.
CREATE TABLE shredded_rooms (
    workspace_id BLOB    NOT NULL,
    room_id      BLOB    NOT NULL,
    -- As JSON (core::wire::rest::ShredReceipt).
    receipt      TEXT    NOT NULL,
    -- 1: no row of the room is left.
    cleared      INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (workspace_id, room_id)
) STRICT, WITHOUT ROWID;
