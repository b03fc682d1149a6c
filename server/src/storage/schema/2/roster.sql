-- What changed of people, rooms and memberships, so that a client that was away is told the difference.
--
-- Triggers write it, so that no statement on the three tables can forget to. A row names what changed and what it was before (a role, or
-- a room's kind; NULL where it did not exist): that is enough to know what anybody saw at that point. It holds identifiers only.

-- Where the log of a workspace stands. A sync token names the incarnation and the number of the last change that it has seen.
CREATE TABLE roster_state (
    workspace_id BLOB    NOT NULL PRIMARY KEY,
    -- Drawn anew when a backup is restored: numbers may then come a second time.
    incarnation  BLOB    NOT NULL,
    change       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO roster_state (workspace_id, incarnation, change) SELECT workspace_id, randomblob(16), 0 FROM workspaces;

CREATE TABLE roster_changes (
    workspace_id BLOB    NOT NULL,
    change       INTEGER NOT NULL,
    -- A member has both, a user no room, a room no user.
    user_id      BLOB,
    room_id      BLOB,
    before       TEXT,
    PRIMARY KEY (workspace_id, change)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER roster_begins AFTER INSERT ON workspaces BEGIN
    INSERT INTO roster_state (workspace_id, incarnation, change) VALUES (NEW.workspace_id, randomblob(16), 0);
END;

-- Room logs get a new incarnation exactly when a backup is restored.
CREATE TRIGGER roster_restored AFTER UPDATE OF incarnation ON room_heads BEGIN
    UPDATE roster_state SET incarnation = randomblob(16)
    WHERE workspace_id IN (SELECT workspace_id FROM rooms WHERE room_id = NEW.room_id);
END;

-- The log is bounded: the latest 10,000 changes.
CREATE TRIGGER roster_trimmed AFTER INSERT ON roster_changes BEGIN
    DELETE FROM roster_changes WHERE workspace_id = NEW.workspace_id AND change <= NEW.change - 10000;
END;

CREATE TRIGGER roster_user_added AFTER INSERT ON users BEGIN
    UPDATE roster_state SET change = change + 1 WHERE workspace_id = NEW.workspace_id;
    INSERT INTO roster_changes (workspace_id, change, user_id, room_id, before)
    SELECT workspace_id, change, NEW.user_id, NULL, NULL FROM roster_state WHERE workspace_id = NEW.workspace_id;
END;

CREATE TRIGGER roster_user_changed AFTER UPDATE OF name, role ON users BEGIN
    UPDATE roster_state SET change = change + 1 WHERE workspace_id = NEW.workspace_id;
    INSERT INTO roster_changes (workspace_id, change, user_id, room_id, before)
    SELECT workspace_id, change, NEW.user_id, NULL, OLD.role FROM roster_state WHERE workspace_id = NEW.workspace_id;
END;

CREATE TRIGGER roster_user_removed AFTER DELETE ON users BEGIN
    UPDATE roster_state SET change = change + 1 WHERE workspace_id = OLD.workspace_id;
    INSERT INTO roster_changes (workspace_id, change, user_id, room_id, before)
    SELECT workspace_id, change, OLD.user_id, NULL, OLD.role FROM roster_state WHERE workspace_id = OLD.workspace_id;
END;

CREATE TRIGGER roster_room_added AFTER INSERT ON rooms BEGIN
    UPDATE roster_state SET change = change + 1 WHERE workspace_id = NEW.workspace_id;
    INSERT INTO roster_changes (workspace_id, change, user_id, room_id, before)
    SELECT workspace_id, change, NULL, NEW.room_id, NULL FROM roster_state WHERE workspace_id = NEW.workspace_id;
END;

CREATE TRIGGER roster_room_changed AFTER UPDATE OF name, kind ON rooms BEGIN
    UPDATE roster_state SET change = change + 1 WHERE workspace_id = NEW.workspace_id;
    INSERT INTO roster_changes (workspace_id, change, user_id, room_id, before)
    SELECT workspace_id, change, NULL, NEW.room_id, OLD.kind FROM roster_state WHERE workspace_id = NEW.workspace_id;
END;

CREATE TRIGGER roster_room_removed AFTER DELETE ON rooms BEGIN
    UPDATE roster_state SET change = change + 1 WHERE workspace_id = OLD.workspace_id;
    INSERT INTO roster_changes (workspace_id, change, user_id, room_id, before)
    SELECT workspace_id, change, NULL, OLD.room_id, OLD.kind FROM roster_state WHERE workspace_id = OLD.workspace_id;
END;

CREATE TRIGGER roster_member_added AFTER INSERT ON members BEGIN
    UPDATE roster_state SET change = change + 1 WHERE workspace_id = NEW.workspace_id;
    INSERT INTO roster_changes (workspace_id, change, user_id, room_id, before)
    SELECT workspace_id, change, NEW.user_id, NEW.room_id, NULL FROM roster_state WHERE workspace_id = NEW.workspace_id;
END;

CREATE TRIGGER roster_member_changed AFTER UPDATE OF role ON members WHEN NEW.role <> OLD.role BEGIN
    UPDATE roster_state SET change = change + 1 WHERE workspace_id = NEW.workspace_id;
    INSERT INTO roster_changes (workspace_id, change, user_id, room_id, before)
    SELECT workspace_id, change, NEW.user_id, NEW.room_id, OLD.role FROM roster_state WHERE workspace_id = NEW.workspace_id;
END;

CREATE TRIGGER roster_member_removed AFTER DELETE ON members BEGIN
    UPDATE roster_state SET change = change + 1 WHERE workspace_id = OLD.workspace_id;
    INSERT INTO roster_changes (workspace_id, change, user_id, room_id, before)
    SELECT workspace_id, change, OLD.user_id, OLD.room_id, OLD.role FROM roster_state WHERE workspace_id = OLD.workspace_id;
END;
