-- The keys of the MAC of resume tokens, so that every server on this database can check those of every other. `key` is sealed.

CREATE TABLE resume_keys (
    workspace_id BLOB    NOT NULL,
    key_id       BLOB    NOT NULL,
    key          BLOB    NOT NULL,
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, key_id)
) STRICT, WITHOUT ROWID;
