-- Who was here: the last transition of each device, so that a restarted server says since when it does not know, and never that
-- somebody is offline whose socket it merely lost. Identifiers, words and times only.

CREATE TABLE presence (
    workspace_id BLOB    NOT NULL,
    device_id    BLOB    NOT NULL,
    user_id      BLOB    NOT NULL,
    -- available, busy, solo or away: it had a socket; offline: it had closed it; unknown: its lease had run out.
    state        TEXT    NOT NULL,
    at           INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, device_id)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER presence_of_devices AFTER DELETE ON devices BEGIN
    DELETE FROM presence WHERE workspace_id = OLD.workspace_id AND device_id = OLD.device_id;
END;

-- When the server last said that it runs: devices with a socket were heard until about then.
CREATE TABLE presence_alive (
    workspace_id BLOB    NOT NULL PRIMARY KEY,
    at           INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
