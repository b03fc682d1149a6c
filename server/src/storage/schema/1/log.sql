-- Room logs, bursts and the data keys that seal everything.
-- Identifiers are 16 bytes; times are milliseconds since 1970-01-01 UTC; sealed columns hold core::seal envelopes.

-- One data key a workspace, wrapped by a key of the ring.
CREATE TABLE workspace_keys (
    workspace_id BLOB NOT NULL PRIMARY KEY,
    wrapped      BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- One data key a room, wrapped by a key of the ring. Without its row nothing of the room can be read any more.
CREATE TABLE room_keys (
    room_id BLOB NOT NULL PRIMARY KEY,
    wrapped BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Where each room's log stands. No event below first_seq is kept; head + 1 is the next one's number.
CREATE TABLE room_heads (
    room_id     BLOB    NOT NULL PRIMARY KEY,
    incarnation BLOB    NOT NULL,
    first_seq   INTEGER NOT NULL,
    head        INTEGER NOT NULL,
    epoch       INTEGER NOT NULL,
    -- Counts the times that somebody became the room's home.
    term        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Events never change. `body` is sealed with the room's key.
CREATE TABLE events (
    room_id     BLOB    NOT NULL,
    seq         INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    user_id     BLOB    NOT NULL,
    device_id   BLOB    NOT NULL,
    client_id   BLOB    NOT NULL,
    kind        TEXT    NOT NULL,
    body        BLOB    NOT NULL,
    PRIMARY KEY (room_id, seq)
) STRICT, WITHOUT ROWID;

-- Finds the few emergencies among many events.
CREATE INDEX emergencies ON events (room_id, seq) WHERE kind IN ('emergency.raised', 'emergency.cleared');

-- The answer that each send got, for its retries. Kept longer than the events. `digest` is a keyed hash of what was sent.
CREATE TABLE sends (
    room_id     BLOB    NOT NULL,
    device_id   BLOB    NOT NULL,
    client_id   BLOB    NOT NULL,
    seq         INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    digest      BLOB    NOT NULL,
    PRIMARY KEY (room_id, device_id, client_id)
) STRICT, WITHOUT ROWID;

-- What the events say about each burst, in one place.
CREATE TABLE bursts (
    room_id       BLOB    NOT NULL,
    burst_id      BLOB    NOT NULL,
    user_id       BLOB    NOT NULL,
    device_id     BLOB    NOT NULL,
    -- Its burst.started.
    seq           INTEGER NOT NULL,
    received_at   INTEGER NOT NULL,
    spoken_at     INTEGER NOT NULL,
    codec         TEXT    NOT NULL,
    frame_ms      INTEGER NOT NULL,
    bitrate       INTEGER NOT NULL,
    key_epoch     INTEGER NOT NULL,
    priority      TEXT    NOT NULL,
    -- NULL while it is open; then the burst.committed or burst.interrupted.
    end_seq       INTEGER,
    -- The last frame: as the sender said, or after an interruption the highest that arrived.
    last_frame    INTEGER,
    -- As the sender said; NULL while only interrupted.
    digest        BLOB,
    -- The burst.completed; also set by a burst.committed that lacked nothing.
    complete_seq  INTEGER,
    -- Bytes of its frames, and its next chunk.
    bytes         INTEGER NOT NULL DEFAULT 0,
    next_chunk    INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (room_id, burst_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX bursts_by_seq ON bursts (room_id, seq);

-- About a second of frames each. `ranges` names the frames inside (pairs of u16, big-endian); `frames` is sealed.
CREATE TABLE chunks (
    room_id  BLOB    NOT NULL,
    burst_id BLOB    NOT NULL,
    chunk    INTEGER NOT NULL,
    ranges   BLOB    NOT NULL,
    frames   BLOB    NOT NULL,
    PRIMARY KEY (room_id, burst_id, chunk)
) STRICT;
