-- The audit log: who changed what, as a chain that shows any change of itself.

-- Entries are only ever added; `hash` is over everything in the row and over the hash before it (storage::audit::chain).
CREATE TABLE audit (
    workspace_id BLOB    NOT NULL,
    -- From 1 on, without holes.
    number       INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    -- server, cli, or the identifiers of a user and a device with a slash between.
    actor        TEXT    NOT NULL,
    action       TEXT    NOT NULL,
    -- Identifiers with spaces between.
    targets      TEXT    NOT NULL,
    -- Whose personal details these are; NULL: nobody's.
    about        BLOB,
    -- Sealed with the key of `about` in audit_keys, or with the workspace's; empty when there are none.
    details      BLOB    NOT NULL,
    previous     BLOB    NOT NULL,
    hash         BLOB    NOT NULL,
    PRIMARY KEY (workspace_id, number)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;

CREATE TRIGGER audit_is_not_removed BEFORE DELETE ON audit
BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;

-- Where the chain stands.
CREATE TABLE audit_heads (
    workspace_id BLOB    NOT NULL PRIMARY KEY,
    number       INTEGER NOT NULL,
    hash         BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

-- A key a person, wrapped by a key of the ring: it seals what entries say about them. NULL once they are erased.
CREATE TABLE audit_keys (
    workspace_id BLOB NOT NULL,
    user_id      BLOB NOT NULL,
    wrapped      BLOB,
    PRIMARY KEY (workspace_id, user_id)
) STRICT, WITHOUT ROWID;
