//! From an archive back to a data folder.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use holler_core::units::{UnixMs, WorkspaceId};
use rusqlite::{Connection, TransactionBehavior, params};
use zeroize::Zeroizing;

use super::{BackupError, DATABASE_FILE, KEYS_FILE, Manifest, archive, beside, described, io_at, keys, name};
use crate::storage::audit::{self, Action, Actor, Entry, Fault, Head};
use crate::storage::schema::{self, Upgrade};
use crate::storage::{StoreError, accounts};

/// How far every term is raised: more than rooms can have changed their home between the backup and the loss, few enough for
/// 4,000 restores.
pub const TERMS: u32 = 1 << 20;

/// What was restored.
#[derive(Clone, Debug)]
pub struct Restored {
    /// What the archive said about itself.
    pub manifest: Manifest,
    /// Sign-ins that were ended.
    pub ended: usize,
    /// Whether the keys came along.
    pub keys: bool,
}

/// Checks an archive without restoring it: its checksums, the database's integrity, and its audit logs. Needs room for one copy of the
/// database beside it while it works.
pub fn verify(path: &Path) -> Result<Manifest, BackupError> {
    let database = beside(path, "check");
    let _draft = archive::Draft::new(database.clone());
    let contents = archive::read(path, &database)?;
    let db = schema::connect(&database, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    sound(path, &db, &contents.manifest)?;
    Ok(contents.manifest)
}

/// Whether the database is what the manifest says.
fn sound(path: &Path, db: &Connection, manifest: &Manifest) -> Result<(), BackupError> {
    let damaged = |fault: String| BackupError::Damaged { path: path.to_owned(), fault };
    let check = |sql: &str| db.query_row(sql, [], |row| row.get::<_, String>(0)).map_err(StoreError::from);
    let found = check("PRAGMA integrity_check(1)")?;
    if found != "ok" {
        return Err(damaged(format!("its database is damaged: {found}")));
    }
    let (schema, workspaces, rooms) = described(db)?;
    if (schema, &workspaces, &rooms) != (manifest.schema, &manifest.workspaces, &manifest.rooms) {
        return Err(damaged("its database is not the one that its manifest describes".to_owned()));
    }
    if schema >= 2 {
        for at in workspaces {
            let kept: Head = at.audit_head.parse().map_err(damaged)?;
            let wrong = |fault: Fault| damaged(format!("the audit log of {}: {fault}", at.workspace));
            audit::verify(db, at.workspace, vec![kept])?.map_err(wrong)?;
        }
    }
    Ok(())
}

/// Restores an archive into a data folder that is new or empty. `passphrase`: also brings the keys back, into `keys`, where there must be none.
/// `end_sign_ins`: everybody must sign in again.
pub fn restore(
    path: &Path,
    data: &Path,
    keys_folder: &Path,
    passphrase: Option<&Zeroizing<String>>,
    end_sign_ins: bool,
    now: UnixMs,
) -> Result<Restored, BackupError> {
    if fs::read_dir(data).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(BackupError::NotEmpty(data.to_owned()));
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(io_at(data))?;
    // Under a name that no server opens until everything is done.
    let draft = data.join("restoring.db");
    let drafts = ["db", "db-wal", "db-shm"].map(|end| archive::Draft::new(draft.with_extension(end)));
    let contents = archive::read(path, &draft)?;
    let manifest = contents.manifest;
    {
        let db = schema::connect(&draft, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        sound(path, &db, &manifest)?;
    }
    let mut db = schema::writer(&draft, Upgrade::Allowed)?;
    let ended = begin_anew(&mut db, &manifest, end_sign_ins, now)?;
    // Closing it moves everything from the log into the file.
    db.close().map_err(|(_, error)| StoreError::from(error))?;
    let before = data.join(crate::storage::snapshot::name_before_upgrade(manifest.schema));
    let _ = fs::remove_file(before);

    let keys = match (passphrase, &contents.sealed_keys, &manifest.keys) {
        (Some(passphrase), Some(sealed), Some(how)) => {
            let hash = manifest.parts.iter().find(|part| part.name == DATABASE_FILE).map_or("", |part| &part.sha256);
            keys::unseal(sealed, how, passphrase, hash, keys_folder)?;
            true
        }
        (Some(_), _, _) => {
            return Err(BackupError::Keys(
                "this archive was made without --with-keys: leave out the passphrase".to_owned(),
            ));
        }
        (None, _, _) => false,
    };
    let names = data.join(KEYS_FILE);
    crate::keys::write_new(&names, &contents.keys_file).map_err(io_at(&names))?;
    let database = data.join(DATABASE_FILE);
    fs::rename(&draft, &database).map_err(io_at(&database))?;
    crate::keys::sync_parent(&database).map_err(io_at(&database))?;
    drop(drafts);
    Ok(Restored { manifest, ended, keys })
}

/// A new incarnation for every log, terms above all of the lost history, and everybody is told to look again.
fn begin_anew(db: &mut Connection, manifest: &Manifest, end_sign_ins: bool, now: UnixMs) -> Result<usize, StoreError> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for room in &manifest.rooms {
        let mut incarnation = [0; 16];
        getrandom::fill(&mut incarnation)?;
        transaction
            .prepare_cached("UPDATE room_heads SET incarnation = ?2, term = term + ?3 WHERE room_id = ?1")?
            .execute(params![room.room.bytes(), incarnation, TERMS])?;
    }
    transaction.execute("UPDATE workspaces SET generation = generation + 1", [])?;
    let ended = if end_sign_ins {
        transaction.execute("UPDATE sign_ins SET ended = 'revoked' WHERE ended IS NULL", [])?
    } else {
        0
    };
    for workspace in accounts::workspaces(&transaction)? {
        tell(&transaction, workspace, manifest, now)?;
    }
    transaction.commit()?;
    Ok(ended)
}

fn tell(db: &Connection, workspace: WorkspaceId, manifest: &Manifest, now: UnixMs) -> Result<(), StoreError> {
    let entry = Entry::new(Actor::Cli, Action::BackupRestored).target(name(manifest));
    audit::record_plain(db, workspace, now, entry)?;
    Ok(())
}
