-- What tokens for scripts allow, and until when. Each is a device; those that version 1 made have no row here.

CREATE TABLE tokens (
    workspace_id BLOB    NOT NULL,
    device_id    BLOB    NOT NULL,
    -- Words with spaces between.
    scopes       TEXT    NOT NULL,
    expires_at   INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, device_id),
    FOREIGN KEY (workspace_id, device_id) REFERENCES devices ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
