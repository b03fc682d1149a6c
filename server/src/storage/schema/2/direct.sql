-- Which direct room is whose: one for each two people, and it stays theirs when one of them leaves it.

CREATE TABLE direct_rooms (
    workspace_id BLOB NOT NULL,
    -- The two, the lower identifier first. Identifiers only: they name nobody once a person is erased.
    low_user     BLOB NOT NULL,
    high_user    BLOB NOT NULL,
    room_id      BLOB NOT NULL,
    PRIMARY KEY (workspace_id, low_user, high_user),
    UNIQUE (workspace_id, room_id),
    FOREIGN KEY (workspace_id, room_id) REFERENCES rooms ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
