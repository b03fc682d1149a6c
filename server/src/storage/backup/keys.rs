//! The folder of keys in an archive: sealed with a key that Argon2id (RFC 9106) derives from a passphrase.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use holler_core::seal::{KEY_BYTES, Key, KeyId, Place, SealingKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{BackupError, io_at};
use crate::keys::{self, random_nonce};
use crate::storage::StoreError;

/// Characters of a passphrase: whoever has the archive can guess for ever.
const PASSPHRASE_CHARS_MIN: usize = 12;
/// Files of the folder of keys, and bytes of each.
const FILES_MAX: usize = 32;
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// RFC 9106, second recommended option, with one lane.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
/// What is accepted of an archive: a forged one must not take all memory.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
const PASSES_MAX: u32 = 100;

/// How the key comes from the passphrase.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Derivation {
    /// Always `argon2id`.
    algorithm: String,
    memory_kib: u32,
    passes: u32,
    salt: String,
}

/// Seals every file of the folder of keys. `database` is the hash of the database that they are sealed beside.
pub(super) fn seal(
    folder: &Path,
    passphrase: &Zeroizing<String>,
    database: &str,
) -> Result<(Vec<u8>, Derivation), BackupError> {
    if passphrase.chars().count() < PASSPHRASE_CHARS_MIN {
        return Err(BackupError::Keys(format!("a passphrase has at least {PASSPHRASE_CHARS_MIN} characters")));
    }
    let mut files: BTreeMap<String, Zeroizing<String>> = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(io_at(folder))? {
        let path = entry.map_err(io_at(folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let found = fs::metadata(&path).map_err(io_at(&path))?;
        if !found.is_file() || name.is_empty() {
            continue;
        }
        if found.len() > FILE_BYTES_MAX || files.len() >= FILES_MAX {
            let detail =
                format!("up to {FILES_MAX} files of {FILE_BYTES_MAX} bytes are keys; {} is not", path.display());
            return Err(BackupError::Keys(detail));
        }
        let bytes = Zeroizing::new(fs::read(&path).map_err(io_at(&path))?);
        files.insert(name, Zeroizing::new(BASE64.encode(&*bytes)));
    }
    let plain: BTreeMap<&str, &str> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let json = Zeroizing::new(serde_json::to_vec(&plain).map_err(|error| BackupError::Keys(error.to_string()))?);
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(StoreError::from)?;
    let how = Derivation {
        algorithm: "argon2id".to_owned(),
        memory_kib: MEMORY_KIB,
        passes: PASSES,
        salt: BASE64.encode(salt),
    };
    let key = how.key(passphrase)?;
    let nonce = random_nonce().map_err(StoreError::from)?;
    Ok((at_its_place(database, |place| key.seal(&nonce, place, &json)), how))
}

/// Opens them and writes them into a folder that has none of them yet.
pub(super) fn unseal(
    sealed: &[u8],
    how: &Derivation,
    passphrase: &Zeroizing<String>,
    database: &str,
    folder: &Path,
) -> Result<(), BackupError> {
    let key = how.key(passphrase)?;
    let json = Zeroizing::new(at_its_place(database, |place| key.open(place, sealed))?);
    let fault = |_| BackupError::Keys("the keys in the archive can't be read".to_owned());
    let files: BTreeMap<String, String> = serde_json::from_slice(&json).map_err(fault)?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io_at(folder))?;
    for name in files.keys() {
        let path = folder.join(name);
        if name.contains('/') || name.starts_with('.') {
            return Err(BackupError::Keys(format!("{name:?} is no name of a key")));
        }
        if path.exists() {
            return Err(BackupError::Keys(format!(
                "{} is there already: name another folder with --keys",
                path.display()
            )));
        }
    }
    for (name, text) in files {
        let text = Zeroizing::new(text);
        let bytes = BASE64.decode(text.as_bytes());
        let bytes = Zeroizing::new(bytes.map_err(|_| BackupError::Keys(format!("{name} can't be read")))?);
        let path = folder.join(&name);
        keys::write_new(&path, &bytes).map_err(io_at(&path))?;
    }
    Ok(())
}

impl Derivation {
    fn key(&self, passphrase: &Zeroizing<String>) -> Result<SealingKey, BackupError> {
        let fault = |what: &str| BackupError::Keys(format!("the key of the archive's keys can't be derived: {what}"));
        let within = (8..=MEMORY_KIB_MAX).contains(&self.memory_kib) && (1..=PASSES_MAX).contains(&self.passes);
        if self.algorithm != "argon2id" || !within {
            return Err(fault("its manifest asks for what this hollerd does not do"));
        }
        let salt = BASE64.decode(&self.salt).map_err(|_| fault("the salt is no base 64"))?;
        let params = Params::new(self.memory_kib, self.passes, 1, Some(KEY_BYTES));
        let params = params.map_err(|error| fault(&error.to_string()))?;
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.as_bytes(), &salt, &mut *bytes)
            .map_err(|error| fault(&error.to_string()))?;
        Ok(SealingKey::new(KeyId(1), &Key::take(&mut bytes)))
    }
}

/// Bound to the database that they lie beside.
fn at_its_place<T>(database: &str, f: impl FnOnce(&Place<'_>) -> T) -> T {
    f(&Place { table: "backup", column: "keys", row: &[database.as_bytes()] })
}
