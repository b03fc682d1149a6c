-- Invites, one-time links for a new password, and what version 1 lacked about users and devices.

-- While it is set, the user can't sign in and none of their tokens is good.
ALTER TABLE users ADD COLUMN suspended_at INTEGER;

-- 1: somebody gave the device its name; a later sign-in keeps it.
ALTER TABLE devices ADD COLUMN named INTEGER NOT NULL DEFAULT 0;

CREATE TABLE invites (
    workspace_id BLOB    NOT NULL,
    invite_id    BLOB    NOT NULL,
    -- Keyed hash of what is secret in the link; the link itself is nowhere.
    token_hash   BLOB    NOT NULL,
    role         TEXT    NOT NULL,
    -- Sealed; NULL: none.
    note         BLOB,
    -- NULL: somebody at the command line. An invite is worth what its maker may do when it is used.
    made_by      BLOB,
    made_at      INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    uses_max     INTEGER NOT NULL,
    uses         INTEGER NOT NULL DEFAULT 0,
    revoked_at   INTEGER,
    PRIMARY KEY (workspace_id, invite_id),
    UNIQUE (workspace_id, token_hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE invite_rooms (
    workspace_id BLOB    NOT NULL,
    invite_id    BLOB    NOT NULL,
    room_id      BLOB    NOT NULL,
    role         TEXT    NOT NULL,
    PRIMARY KEY (workspace_id, invite_id, room_id),
    FOREIGN KEY (workspace_id, invite_id) REFERENCES invites ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- The link with which a user sets a new password, at most one.
CREATE TABLE resets (
    workspace_id BLOB    NOT NULL,
    user_id      BLOB    NOT NULL,
    token_hash   BLOB    NOT NULL,
    made_at      INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, user_id),
    UNIQUE (workspace_id, token_hash),
    FOREIGN KEY (workspace_id, user_id) REFERENCES users
) STRICT, WITHOUT ROWID;
