-- The rules of a workspace, and what single rooms have of their own.

-- As JSON (core::wire::policy); what it leaves out has its default. No row: everything has.
CREATE TABLE policies (
    workspace_id BLOB    NOT NULL PRIMARY KEY,
    policy       TEXT    NOT NULL,
    changed_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- NULL: the workspace's.
ALTER TABLE rooms ADD COLUMN talk_limit_s INTEGER;
