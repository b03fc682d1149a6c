//! The folders of data and keys: whether they are there, whose they are, who else may read them; and whether the ring fits.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{Level, Notes};
use crate::config::Config;
use crate::keys::{KeyRing, RING_FILE, RingError};
use crate::storage::{self, OpenStoreError};

const SECRET: &str = "Whoever reads the keys and the data can read everything that was said, and pose as this server.";
const OWNER: &str = "A server can't write files of another user: sends would fail, or the server would not start.";

pub(super) fn look(notes: &mut Notes<'_>, config: &Config) {
    let before = notes.findings.len();
    for (folder, setting) in [(&config.data, "server.data"), (&config.keys, "server.keys")] {
        look_at(notes, folder, setting);
    }
    if notes.findings.len() == before {
        notes.good(format!("{} and {} are their owner's only", config.data.display(), config.keys.display()));
    }
}

fn look_at(notes: &mut Notes<'_>, folder: &Path, setting: &str) {
    let shown = folder.display();
    let found = match fs::metadata(folder) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return notes.note(format!("{shown} is not there yet: the first start makes it"));
        }
        Err(error) => {
            let remedy = format!("Run this as the user that the server runs as, or correct {setting}.");
            return notes.bad(format!("{shown} can't be looked at: {error}"), OWNER, remedy);
        }
    };
    if !found.is_dir() {
        let why = "The server keeps its files in a folder.";
        return notes.bad(format!("{shown} is no folder"), why, format!("Correct {setting}."));
    }
    private(notes, folder, &found, 0o700, true);
    let is_open = found.mode() & 0o077 != 0;
    let me = rustix::process::geteuid().as_raw();
    if me != 0 && me != found.uid() {
        let remedy = format!("Run this and every other command as them: `sudo -u '#{}' hollerd …`.", found.uid());
        notes.bad(format!("{shown} belongs to user {}, and this runs as user {me}", found.uid()), OWNER, remedy);
    } else if me != 0 && rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_err() {
        notes.bad(
            format!("{shown} can't be written"),
            OWNER,
            format!("Check how its disk is mounted, and `chmod 700 {shown}`."),
        );
    }
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            return notes.bad(format!("{shown} can't be listed: {error}"), OWNER, format!("`chmod 700 {shown}`."));
        }
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let Ok(file) = fs::metadata(&path) else { continue };
        if file.uid() != found.uid() {
            let what = format!("{} belongs to user {}, its folder to user {}", path.display(), file.uid(), found.uid());
            notes.bad(what, OWNER, format!("`chown {}:{} {}`", found.uid(), found.gid(), path.display()));
        }
        // Behind a closed folder an open file is read by nobody, until the folder is opened or copied. The ring is refused then.
        let grave = is_open || path.ends_with(RING_FILE);
        private(notes, &path, &file, if file.is_dir() { 0o700 } else { 0o600 }, grave);
    }
}

fn private(notes: &mut Notes<'_>, path: &Path, found: &Metadata, wanted: u32, grave: bool) {
    let mode = found.mode() & 0o7777;
    // A certificate is no secret.
    if mode & 0o077 != 0 && path.extension().is_none_or(|kind| kind != "pem") {
        let what = format!("{} is open to other users (mode {mode:o})", path.display());
        let level = if grave { Level::Bad } else { Level::Warning };
        notes.add(level, what, SECRET, format!("`chmod {wanted:o} {}`", path.display()));
    }
}

pub(super) fn ring(notes: &mut Notes<'_>, config: &Config) {
    let lost = "Everything in the data is sealed with the ring: without it nothing can be read, now or ever.";
    let ring = match KeyRing::load(&config.keys) {
        Ok(ring) => ring,
        Err(RingError::NotThere(path)) if storage::has_data(&config.data) => {
            let remedy = format!("Bring {} back from its backup, or name its folder with server.keys.", path.display());
            return notes.bad(format!("{} is missing, and there is data", path.display()), lost, remedy);
        }
        Err(RingError::NotThere(path)) => {
            return notes.note(format!("{} is not there yet: the first start makes it", path.display()));
        }
        // Told with the folders.
        Err(RingError::Exposed { .. }) => return,
        Err(RingError::Io { path, source }) => {
            let remedy = "Run this as the user that the server runs as, or mend the disk.";
            return notes.bad(format!("{}: {source}", path.display()), lost, remedy);
        }
        Err(error @ (RingError::Malformed { .. } | RingError::Missing { .. })) => {
            let remedy = "Bring the file back from its backup. A new ring does not help: it can't open this data.";
            return notes.bad(error.to_string(), lost, remedy);
        }
    };
    match storage::check(&config.data, &ring) {
        Ok(()) => notes.good(format!(
            "{} fits the data (active key {})",
            config.keys.join("ring.toml").display(),
            ring.active()
        )),
        Err(error @ (OpenStoreError::RingKeyMissing { .. } | OpenStoreError::RingKeyOther { .. })) => {
            let remedy = "Bring back the ring.toml that was used with this data, or name its folder with server.keys.";
            notes.bad(error.to_string(), lost, remedy);
        }
        Err(error @ OpenStoreError::Io { .. }) => {
            let remedy =
                "See above whose the folders and files are. Nothing is lost: do not restore anything because of this.";
            notes.bad(error.to_string(), OWNER, remedy);
        }
        Err(error @ OpenStoreError::NotOurs { .. }) => {
            let why = "The server does not touch data that it can't be sure of.";
            let remedy = "If it was hollerd's, it is damaged: keep a copy, and restore the newest backup. If not, name another folder.";
            notes.bad(error.to_string(), why, remedy);
        }
        Err(error) => {
            let why = "The server does not touch data that it can't be sure of.";
            notes.bad(error.to_string(), why, "Bring the data folder back from a backup as a whole, or name another.");
        }
    }
}
