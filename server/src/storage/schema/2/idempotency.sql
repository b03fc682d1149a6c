-- The answers to requests that carried an Idempotency-Key, for 24 hours.

CREATE TABLE idempotency (
    workspace_id BLOB    NOT NULL,
    device_id    BLOB    NOT NULL,
    -- Keyed hash of the user, the method, the path and the key.
    request      BLOB    NOT NULL,
    -- Keyed hash of the query and the body.
    digest       BLOB    NOT NULL,
    begun_at     INTEGER NOT NULL,
    -- Sealed; NULL: it has not ended, or nobody knows how.
    answer       BLOB,
    PRIMARY KEY (workspace_id, device_id, request)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_by_age ON idempotency (workspace_id, begun_at);
