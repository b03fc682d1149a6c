-- How far each member got in a room's log, and who heard which burst. Identifiers, numbers and times only.

CREATE TABLE read_marks (
    room_id     BLOB    NOT NULL,
    user_id     BLOB    NOT NULL,
    -- The history that the numbers count in; marks of another one count as none.
    incarnation BLOB    NOT NULL,
    -- Up to here on a device of theirs; up to here shown to them.
    delivered   INTEGER NOT NULL,
    read        INTEGER NOT NULL,
    PRIMARY KEY (room_id, user_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE heard (
    room_id  BLOB    NOT NULL,
    burst_id BLOB    NOT NULL,
    user_id  BLOB    NOT NULL,
    heard_at INTEGER NOT NULL,
    PRIMARY KEY (room_id, burst_id, user_id)
) STRICT, WITHOUT ROWID;

-- Retention and shredding take the receipts along, whoever does them.
CREATE TRIGGER heard_of_bursts AFTER DELETE ON bursts BEGIN
    DELETE FROM heard WHERE room_id = OLD.room_id AND burst_id = OLD.burst_id;
END;

CREATE TRIGGER read_marks_of_rooms AFTER DELETE ON room_heads BEGIN
    DELETE FROM read_marks WHERE room_id = OLD.room_id;
END;
