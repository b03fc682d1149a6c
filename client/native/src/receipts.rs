//! What a person saw and heard, until the server knows it, and how they said they are: identifiers and words, in the client's
//! store.

use holler_core::engine::Restored;
use holler_core::model::PresenceState;
use holler_core::units::{BurstId, Cursor, Incarnation, RoomId, Seq};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::store::StoreError;

/// Bursts that are kept of one room; the oldest go first.
const HEARD_MAX: i64 = 512;

/// Makes the tables where they are not there.
pub(crate) fn prepare(database: &Connection) -> Result<(), StoreError> {
    Ok(database.execute_batch(
        "CREATE TABLE IF NOT EXISTS receipts_read (
             room_id     BLOB    NOT NULL PRIMARY KEY,
             incarnation BLOB    NOT NULL,
             seq         INTEGER NOT NULL
         ) STRICT, WITHOUT ROWID;
         CREATE TABLE IF NOT EXISTS receipts_heard (
             ord      INTEGER NOT NULL PRIMARY KEY,
             room_id  BLOB    NOT NULL,
             burst_id BLOB    NOT NULL,
             UNIQUE (room_id, burst_id)
         ) STRICT;
         CREATE TABLE IF NOT EXISTS own_presence (
             id    INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
             state TEXT    NOT NULL
         ) STRICT;",
    )?)
}

/// What the person said last of how they are.
pub(crate) fn own_presence(database: &Connection) -> Result<Option<PresenceState>, StoreError> {
    let word: Option<String> = database.query_row("SELECT state FROM own_presence", [], |row| row.get(0)).optional()?;
    word.map(|word| word.parse().map_err(StoreError::Content)).transpose()
}

/// Keeps how the person is.
pub(crate) fn set_own_presence(database: &Connection, state: PresenceState) -> Result<(), StoreError> {
    database.execute("INSERT OR REPLACE INTO own_presence VALUES (1, ?1)", [state.as_str()])?;
    Ok(())
}

/// A burst was played to its end.
pub(crate) fn heard(database: &Connection, room: RoomId, burst: BurstId) -> Result<(), StoreError> {
    database
        .prepare_cached("INSERT OR IGNORE INTO receipts_heard (room_id, burst_id) VALUES (?1, ?2)")?
        .execute(params![room.bytes(), burst.bytes()])?;
    database
        .prepare_cached(
            "DELETE FROM receipts_heard WHERE room_id = ?1 AND ord <= \
             (SELECT ord FROM receipts_heard WHERE room_id = ?1 ORDER BY ord DESC LIMIT 1 OFFSET ?2)",
        )?
        .execute(params![room.bytes(), HEARD_MAX])?;
    Ok(())
}

/// A person saw everything up to here.
pub(crate) fn read(database: &Connection, room: RoomId, cursor: Cursor) -> Result<(), StoreError> {
    let seq = i64::try_from(cursor.seq.0).unwrap_or(i64::MAX);
    database.prepare_cached("INSERT OR REPLACE INTO receipts_read VALUES (?1, ?2, ?3)")?.execute(params![
        room.bytes(),
        cursor.incarnation.bytes(),
        seq
    ])?;
    Ok(())
}

/// The server knows.
pub(crate) fn stored(
    database: &Connection,
    room: RoomId,
    read: Option<Cursor>,
    heard: &[BurstId],
) -> Result<(), StoreError> {
    if let Some(cursor) = read {
        let seq = i64::try_from(cursor.seq.0).unwrap_or(i64::MAX);
        database
            .prepare_cached("DELETE FROM receipts_read WHERE room_id = ?1 AND incarnation = ?2 AND seq <= ?3")?
            .execute(params![room.bytes(), cursor.incarnation.bytes(), seq])?;
    }
    for burst in heard {
        database
            .prepare_cached("DELETE FROM receipts_heard WHERE room_id = ?1 AND burst_id = ?2")?
            .execute(params![room.bytes(), burst.bytes()])?;
    }
    Ok(())
}

/// What the server does not know yet, room by room.
pub(crate) fn waiting(database: &Connection) -> Result<Vec<Restored>, StoreError> {
    let mut rooms: Vec<(RoomId, Option<Cursor>, Vec<BurstId>)> = Vec::new();
    let mut statement = database.prepare("SELECT room_id, incarnation, seq FROM receipts_read ORDER BY room_id")?;
    let rows = statement.query_map([], |row| {
        let (incarnation, seq) = (Incarnation::from_bytes(row.get(1)?), Seq(row.get::<_, i64>(2)?.unsigned_abs()));
        Ok((RoomId::from_bytes(row.get(0)?), Cursor { incarnation, seq }))
    })?;
    for row in rows {
        let (room, cursor) = row?;
        rooms.push((room, Some(cursor), Vec::new()));
    }
    let mut statement = database.prepare("SELECT room_id, burst_id FROM receipts_heard ORDER BY ord")?;
    let rows =
        statement.query_map([], |row| Ok((RoomId::from_bytes(row.get(0)?), BurstId::from_bytes(row.get(1)?))))?;
    for row in rows {
        let (room, burst) = row?;
        match rooms.iter_mut().find(|(known, ..)| *known == room) {
            Some((_, _, heard)) => heard.push(burst),
            None => rooms.push((room, None, vec![burst])),
        }
    }
    Ok(rooms.into_iter().map(|(room, read, heard)| Restored::Receipts { room, read, heard }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> (RoomId, Incarnation) {
        (RoomId::from_bytes([1; 16]), Incarnation::from_bytes([2; 16]))
    }

    #[test]
    fn what_the_server_does_not_know_is_there_again_and_what_it_knows_is_not() {
        let database = Connection::open_in_memory().unwrap();
        prepare(&database).unwrap();
        prepare(&database).unwrap();
        let (room, incarnation) = ids();
        let cursor = |seq| Cursor { incarnation, seq: Seq(seq) };
        let burst = |n: u8| BurstId::from_bytes([n; 16]);
        for n in [3, 1, 2, 1] {
            heard(&database, room, burst(n)).unwrap();
        }
        read(&database, room, cursor(7)).unwrap();
        read(&database, room, cursor(9)).unwrap();
        let expected = Restored::Receipts { room, read: Some(cursor(9)), heard: vec![burst(3), burst(1), burst(2)] };
        assert_eq!(waiting(&database).unwrap(), [expected]);
        // The server knows less than what was read meanwhile: that stays.
        stored(&database, room, Some(cursor(8)), &[burst(3), burst(2)]).unwrap();
        let expected = Restored::Receipts { room, read: Some(cursor(9)), heard: vec![burst(1)] };
        assert_eq!(waiting(&database).unwrap(), [expected]);
        stored(&database, room, Some(cursor(9)), &[burst(1)]).unwrap();
        assert_eq!(waiting(&database).unwrap(), []);
    }

    #[test]
    fn the_oldest_give_way() {
        let database = Connection::open_in_memory().unwrap();
        prepare(&database).unwrap();
        let (room, _) = ids();
        let name = |n: i64| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&n.to_be_bytes());
            BurstId::from_bytes(bytes)
        };
        for n in 0..HEARD_MAX + 10 {
            heard(&database, room, name(n)).unwrap();
        }
        let found = waiting(&database).unwrap();
        let [Restored::Receipts { heard, .. }] = &found[..] else { panic!("{found:?}") };
        assert_eq!((heard.len(), heard[0]), (usize::try_from(HEARD_MAX).unwrap(), name(10)));
    }
}
