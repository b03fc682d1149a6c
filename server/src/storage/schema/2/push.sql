-- Notifications for devices that are not connected: where each device is told, and what waits to be told.

-- The key that Web Push services know this server by (RFC 8292). `private` (PKCS #8) is sealed.
CREATE TABLE push_keys (
    workspace_id BLOB    NOT NULL PRIMARY KEY,
    private      BLOB    NOT NULL,
    made_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Where a device is told, at most one place a device.
CREATE TABLE push_subscriptions (
    workspace_id BLOB    NOT NULL,
    device_id    BLOB    NOT NULL,
    user_id      BLOB    NOT NULL,
    -- web, fcm or apns.
    kind         TEXT    NOT NULL,
    -- Sealed JSON (core::wire::rest::PushTarget).
    target       BLOB    NOT NULL,
    -- Keyed hash of the endpoint or token: a place belongs to the device that named it last.
    target_hash  BLOB    NOT NULL,
    made_at      INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, device_id),
    UNIQUE (workspace_id, target_hash),
    FOREIGN KEY (workspace_id, device_id) REFERENCES devices ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX push_subscriptions_by_user ON push_subscriptions (workspace_id, user_id);

-- Of what a user is told, as JSON (core::wire::rest::PushRules). No row: the defaults.
CREATE TABLE push_rules (
    workspace_id BLOB    NOT NULL,
    user_id      BLOB    NOT NULL,
    rules        TEXT    NOT NULL,
    PRIMARY KEY (workspace_id, user_id)
) STRICT, WITHOUT ROWID;

-- Rooms with events that nobody has looked at yet for whom to tell: from `seq` on.
CREATE TABLE push_rooms (
    room_id BLOB    NOT NULL PRIMARY KEY,
    seq     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What waits to be told: one notification a device, room and subject, which a later event replaces.
CREATE TABLE push_queue (
    workspace_id BLOB    NOT NULL,
    device_id    BLOB    NOT NULL,
    room_id      BLOB    NOT NULL,
    -- emergency, call or news.
    subject      TEXT    NOT NULL,
    -- The last event, and how many there are.
    seq          INTEGER NOT NULL,
    events       INTEGER NOT NULL,
    queued_at    INTEGER NOT NULL,
    due_at       INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    attempts     INTEGER NOT NULL,
    -- Rises when it is replaced, so that what becomes of a try is not taken for what becomes of its successor.
    version      INTEGER NOT NULL,
    -- When it was given up, and why; NULL: it waits.
    dead_at      INTEGER,
    cause        TEXT,
    PRIMARY KEY (workspace_id, device_id, room_id, subject)
) STRICT, WITHOUT ROWID;

CREATE INDEX push_queue_by_due ON push_queue (due_at) WHERE dead_at IS NULL;
CREATE INDEX push_queue_by_death ON push_queue (dead_at) WHERE dead_at IS NOT NULL;

-- Whatever ends a sign-in, a device, a membership or a room takes along what would be told there.
CREATE TRIGGER push_of_sign_ins AFTER UPDATE OF ended ON sign_ins WHEN NEW.ended IS NOT NULL BEGIN
    DELETE FROM push_subscriptions WHERE workspace_id = NEW.workspace_id AND device_id = NEW.device_id;
END;

CREATE TRIGGER push_of_devices AFTER UPDATE OF revoked_at ON devices WHEN NEW.revoked_at IS NOT NULL BEGIN
    DELETE FROM push_subscriptions WHERE workspace_id = NEW.workspace_id AND device_id = NEW.device_id;
END;

CREATE TRIGGER push_of_subscriptions AFTER DELETE ON push_subscriptions BEGIN
    DELETE FROM push_queue WHERE workspace_id = OLD.workspace_id AND device_id = OLD.device_id;
END;

CREATE TRIGGER push_of_members AFTER DELETE ON members BEGIN
    DELETE FROM push_queue WHERE workspace_id = OLD.workspace_id AND room_id = OLD.room_id AND device_id IN
        (SELECT device_id FROM push_subscriptions WHERE workspace_id = OLD.workspace_id AND user_id = OLD.user_id);
END;

CREATE TRIGGER push_of_rooms AFTER DELETE ON room_heads BEGIN
    DELETE FROM push_rooms WHERE room_id = OLD.room_id;
    DELETE FROM push_queue WHERE room_id = OLD.room_id;
END;
