-- One order for texts and bursts: that in which they were written and spoken, whatever the clock says.
CREATE TABLE counter (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    next_ord INTEGER NOT NULL
) STRICT;

ALTER TABLE sends ADD COLUMN acked_in BLOB;
ALTER TABLE sends ADD COLUMN done_at INTEGER;

ALTER TABLE bursts ADD COLUMN ord INTEGER NOT NULL DEFAULT 0;
-- When it was begun: by the clock that runs through until the device is started anew, and by the server's, where it was known.
ALTER TABLE bursts ADD COLUMN boot TEXT NOT NULL DEFAULT '';
ALTER TABLE bursts ADD COLUMN begun_us INTEGER NOT NULL DEFAULT 0;
ALTER TABLE bursts ADD COLUMN server_at INTEGER;
ALTER TABLE bursts ADD COLUMN server_uncertainty INTEGER;
ALTER TABLE bursts ADD COLUMN last_frame INTEGER;
ALTER TABLE bursts ADD COLUMN digest BLOB;
ALTER TABLE bursts ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
ALTER TABLE bursts ADD COLUMN delivered_in BLOB;
ALTER TABLE bursts ADD COLUMN done_at INTEGER;

UPDATE bursts SET ord = (SELECT count(*) FROM bursts AS earlier
    WHERE (earlier.begun_at, earlier.rowid) <= (bursts.begun_at, bursts.rowid));
UPDATE sends SET ord = ord + (SELECT count(*) FROM bursts);
-- What an earlier version did not deliver as no floor was granted, it kept: so does this one.
UPDATE bursts SET held = 1 WHERE granted = 0 AND delivered = 0;
UPDATE bursts SET done_at = begun_at WHERE delivered = 1;
INSERT INTO counter SELECT 1, 1 + coalesce((SELECT max(ord) FROM sends), (SELECT max(ord) FROM bursts), 0);

CREATE INDEX bursts_by_ord ON bursts (ord);
CREATE INDEX sends_by_ord ON sends (ord);

CREATE TABLE rooms (
    room_id BLOB PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE heard (
    burst_id BLOB PRIMARY KEY,
    room_id BLOB NOT NULL,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
