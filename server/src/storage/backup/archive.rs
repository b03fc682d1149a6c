//! Writing and reading the tar file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{
    BackupError, DATABASE_FILE, FORMAT, KEYS_FILE, MANIFEST, MANIFEST_BYTES_MAX, Manifest, Part, SEALED_KEYS,
    SMALL_BYTES_MAX, beside, io_at,
};
use crate::storage::audit::chain::hex;

/// Something unfinished: gone when it is dropped.
pub(super) struct Draft(PathBuf);

impl Draft {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

pub(super) fn part(name: &str, bytes: &[u8]) -> Part {
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    Part { name: name.to_owned(), bytes: length, sha256: hex(&Sha256::digest(bytes)) }
}

pub(super) fn measure(name: &str, path: &Path) -> Result<Part, BackupError> {
    let mut file = File::open(path).map_err(io_at(path))?;
    let mut hashing = Hashing::new(io::sink());
    let bytes = io::copy(&mut file, &mut hashing).map_err(io_at(path))?;
    Ok(Part { name: name.to_owned(), bytes, sha256: hashing.finish() })
}

/// Hashes what passes.
struct Hashing<W> {
    hash: Sha256,
    to: W,
}

impl<W: Write> Hashing<W> {
    fn new(to: W) -> Self {
        Self { hash: Sha256::new(), to }
    }

    fn finish(self) -> String {
        hex(&self.hash.finalize())
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

pub(super) fn write(
    to: &Path,
    manifest: &Manifest,
    database: &Path,
    small: &[(&str, Vec<u8>)],
) -> Result<(), BackupError> {
    let draft = beside(to, "tar");
    let _draft = Draft::new(draft.clone());
    let text = serde_json::to_vec_pretty(manifest).map_err(|error| io_at(&draft)(io::Error::other(error)))?;
    let written = (|| {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        let mut tar = tar::Builder::new(io::BufWriter::new(file));
        let header = |length: usize| {
            let mut header = tar::Header::new_ustar();
            header.set_size(u64::try_from(length).unwrap_or(u64::MAX));
            header.set_mode(0o600);
            header.set_mtime(manifest.made_at.0 / 1_000);
            header
        };
        tar.append_data(&mut header(text.len()), MANIFEST, text.as_slice())?;
        let mut file = File::open(database)?;
        let mut large = header(0);
        large.set_size(file.metadata()?.len());
        tar.append_data(&mut large, DATABASE_FILE, &mut file)?;
        for (name, bytes) in small {
            tar.append_data(&mut header(bytes.len()), name, bytes.as_slice())?;
        }
        let file = tar.into_inner()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        drop(file);
        // Linked and not renamed: what came to be there meanwhile stays.
        fs::hard_link(&draft, to)?;
        crate::keys::sync_parent(to)
    })();
    written.map_err(io_at(to))
}

/// What an archive holds, checked against its manifest.
pub(super) struct Contents {
    pub(super) manifest: Manifest,
    pub(super) keys_file: Vec<u8>,
    pub(super) sealed_keys: Option<Vec<u8>>,
}

/// Reads a whole archive, writes its database to `database`, and checks everything.
pub(super) fn read(path: &Path, database: &Path) -> Result<Contents, BackupError> {
    let damaged = |fault: &str| BackupError::Damaged { path: path.to_owned(), fault: fault.to_owned() };
    let broken = |error: io::Error| BackupError::Damaged { path: path.to_owned(), fault: error.to_string() };
    let mut tar = tar::Archive::new(io::BufReader::new(File::open(path).map_err(io_at(path))?));
    let mut entries = tar.entries().map_err(broken)?;
    let first = entries.next().ok_or_else(|| damaged("it is empty"))?.map_err(broken)?;
    if first.path_bytes().as_ref() != MANIFEST.as_bytes() {
        return Err(damaged("it does not begin with manifest.json: it is no backup of hollerd"));
    }
    let manifest = manifest(path, &whole(first, MANIFEST_BYTES_MAX).map_err(broken)?)?;
    let (mut keys_file, mut sealed_keys, mut found_database) = (None, None, false);
    for entry in entries {
        let entry = entry.map_err(broken)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let listed = manifest.parts.iter().find(|part| part.name == name);
        let listed = listed.ok_or_else(|| damaged(&format!("{name:?} is not in its manifest")))?;
        let found = match name.as_str() {
            DATABASE_FILE if !found_database => {
                found_database = true;
                extract(entry, listed, database)?
            }
            KEYS_FILE | SEALED_KEYS => {
                let bytes = whole(entry, SMALL_BYTES_MAX).map_err(broken)?;
                let found = part(&name, &bytes);
                let place = if name == KEYS_FILE { &mut keys_file } else { &mut sealed_keys };
                *place = Some(bytes);
                found
            }
            _ => return Err(damaged(&format!("{name:?} does not belong there"))),
        };
        if found != *listed {
            return Err(damaged(&format!(
                "{name} has {} bytes with SHA-256 {}, and its manifest says {} bytes with {}",
                found.bytes, found.sha256, listed.bytes, listed.sha256
            )));
        }
    }
    if !found_database || sealed_keys.is_some() != manifest.keys.is_some() {
        return Err(damaged("a part that its manifest names is missing"));
    }
    let keys_file = keys_file.ok_or_else(|| damaged("KEYS is missing"))?;
    Ok(Contents { manifest, keys_file, sealed_keys })
}

fn manifest(path: &Path, bytes: &[u8]) -> Result<Manifest, BackupError> {
    // Only what says whether the rest can be understood.
    #[derive(serde::Deserialize)]
    struct Layout {
        format: u32,
        made_by: String,
    }
    let unreadable = |error: serde_json::Error| BackupError::Damaged {
        path: path.to_owned(),
        fault: format!("its manifest can't be read: {error}"),
    };
    let layout: Layout = serde_json::from_slice(bytes).map_err(unreadable)?;
    if layout.format != FORMAT {
        return Err(BackupError::Newer { path: path.to_owned(), by: layout.made_by, format: layout.format });
    }
    serde_json::from_slice(bytes).map_err(unreadable)
}

fn whole(entry: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    entry.take(most + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > most {
        return Err(io::Error::other(format!("a part has more than {most} bytes")));
    }
    Ok(bytes)
}

fn extract(mut entry: impl Read, listed: &Part, to: &Path) -> Result<Part, BackupError> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(to).map_err(io_at(to))?;
    let mut hashing = Hashing::new(io::BufWriter::new(file));
    // Not more than announced: a disk must not be filled by a file that lies about itself.
    let bytes = io::copy(&mut entry.by_ref().take(listed.bytes + 1), &mut hashing).map_err(io_at(to))?;
    hashing.flush().map_err(io_at(to))?;
    hashing.to.get_ref().sync_all().map_err(io_at(to))?;
    Ok(Part { name: listed.name.clone(), bytes, sha256: hashing.finish() })
}
