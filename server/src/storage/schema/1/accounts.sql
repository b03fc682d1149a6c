-- People, devices, sign-ins, rooms and their members.
-- Identifiers are 16 bytes; times are milliseconds since 1970-01-01 UTC; sealed columns hold core::seal envelopes made with the
-- workspace's key.

CREATE TABLE workspaces (
    workspace_id BLOB    NOT NULL PRIMARY KEY,
    -- Sealed.
    name         BLOB    NOT NULL,
    created_at   INTEGER NOT NULL,
    -- Rises with every change of users, devices, rooms or members that running servers must notice.
    generation   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The keys that access tokens are signed with; `private` (PKCS #8) is sealed.
CREATE TABLE signing_keys (
    workspace_id BLOB    NOT NULL,
    key_id       TEXT    NOT NULL,
    private      BLOB    NOT NULL,
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, key_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
    workspace_id BLOB    NOT NULL,
    user_id      BLOB    NOT NULL,
    -- Keyed hash of the login, for finding it.
    login_hash   BLOB    NOT NULL,
    -- Sealed: login, name, password (an Argon2id PHC string).
    login        BLOB    NOT NULL,
    name         BLOB    NOT NULL,
    password     BLOB    NOT NULL,
    role         TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, user_id),
    UNIQUE (workspace_id, login_hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE devices (
    workspace_id BLOB    NOT NULL,
    device_id    BLOB    NOT NULL,
    user_id      BLOB    NOT NULL,
    -- Sealed.
    name         BLOB    NOT NULL,
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    revoked_at   INTEGER,
    PRIMARY KEY (workspace_id, device_id),
    FOREIGN KEY (workspace_id, user_id) REFERENCES users
) STRICT, WITHOUT ROWID;

CREATE INDEX devices_by_user ON devices (workspace_id, user_id);

-- The sign-in of a device, at most one: a chain of refresh tokens. None of them is stored; `secret` (sealed) is the key of their MAC, and
-- `rotation` the number of the one that comes next.
CREATE TABLE sign_ins (
    workspace_id BLOB    NOT NULL,
    family_id    BLOB    NOT NULL,
    device_id    BLOB    NOT NULL,
    user_id      BLOB    NOT NULL,
    secret       BLOB    NOT NULL,
    rotation     INTEGER NOT NULL,
    -- When the token before `rotation` was used.
    rotated_at   INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    -- One of signed-out, reused, revoked, password; NULL while it is good.
    ended        TEXT,
    PRIMARY KEY (workspace_id, family_id),
    FOREIGN KEY (workspace_id, device_id) REFERENCES devices
) STRICT, WITHOUT ROWID;

CREATE INDEX sign_ins_by_device ON sign_ins (workspace_id, device_id);

CREATE TABLE rooms (
    workspace_id BLOB    NOT NULL,
    room_id      BLOB    NOT NULL,
    kind         TEXT    NOT NULL,
    -- Sealed.
    name         BLOB    NOT NULL,
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, room_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE members (
    workspace_id BLOB    NOT NULL,
    room_id      BLOB    NOT NULL,
    user_id      BLOB    NOT NULL,
    role         TEXT    NOT NULL,
    added_at     INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, room_id, user_id),
    FOREIGN KEY (workspace_id, room_id) REFERENCES rooms,
    FOREIGN KEY (workspace_id, user_id) REFERENCES users
) STRICT, WITHOUT ROWID;

CREATE INDEX members_by_user ON members (workspace_id, user_id);
