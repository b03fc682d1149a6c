//! The key that seals the local store: in the system's key store, or in a file that a passphrase opens. Never in plain.
//!
//! | beside the database | where the key is |
//! |---|---|
//! | `key.keystore` | in the Secret Service (GNOME Keyring, KWallet, KeePassXC), under the random name in this file |
//! | `key.sealed` | in this file, sealed with a key that Argon2id (RFC 9106) makes of a passphrase |
//! | `key` | in this file, in plain: left by an earlier version, moved to one of the others at the next start |

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use holler_core::seal::{Key, KeyId, NONCE_BYTES, Place, SealingKey};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

/// The name under which entries stand in the system's key store.
const SERVICE: &str = "holler";
/// Argon2id as OWASP's Password Storage Cheat Sheet has it: 19 MiB, two passes.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
/// What a key file may ask for at most, so that a forged one does not take all memory.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
const PASSES_MAX: u32 = 64;
/// Longest file that is read for a key or a passphrase.
const FILE_BYTES_MAX: u64 = 16 * 1024;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Neither a key store nor a passphrase.
    #[error(
        "the local store needs a key, and this system has no key store ({0}): \
         set a passphrase with HOLLER_PASSPHRASE_FILE or HOLLER_PASSPHRASE"
    )]
    NoKeystore(String),
    /// The key store has the key, but does not give it.
    #[error("the system's key store does not give the local store's key ({0}): unlock it, and try again")]
    Keystore(String),
    /// The key is in the key store's charge, which no longer has it.
    #[error("the system's key store no longer has the local store's key: remove {}, and sign in again", .0.display())]
    Gone(PathBuf),
    /// The key file wants a passphrase, and none was given.
    #[error("the local store is closed by a passphrase: give it with HOLLER_PASSPHRASE_FILE or HOLLER_PASSPHRASE")]
    PassphraseWanted,
    /// The passphrase does not open the key file.
    #[error("the passphrase does not open {}", .0.display())]
    WrongPassphrase(PathBuf),
    /// The key file is not one.
    #[error("{} is damaged: {}", path.display(), detail)]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// A file can't be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}

/// What opens the key.
#[derive(Clone, Default)]
pub struct Unlock {
    passphrase: Option<Zeroizing<String>>,
    no_keystore: bool,
}

impl core::fmt::Debug for Unlock {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Unlock").field("passphrase", &self.passphrase.is_some()).finish_non_exhaustive()
    }
}

impl Unlock {
    /// By the system's key store.
    pub fn keystore() -> Self {
        Self::default()
    }

    /// By a passphrase; a new store gets a key file that it opens.
    pub fn passphrase(passphrase: String) -> Self {
        Self { passphrase: Some(Zeroizing::new(passphrase)), no_keystore: false }
    }

    /// By what the environment says: the passphrase in the file that `HOLLER_PASSPHRASE_FILE` names (without its last line
    /// break), or in `HOLLER_PASSPHRASE`, else the key store.
    pub fn from_env() -> Result<Self, KeyError> {
        if let Some(path) = std::env::var_os("HOLLER_PASSPHRASE_FILE").filter(|path| !path.is_empty()) {
            let path = PathBuf::from(path);
            let bytes = Zeroizing::new(read(&path)?);
            let damaged = || KeyError::Damaged { path: path.clone(), detail: "a passphrase is UTF-8".to_owned() };
            let text = core::str::from_utf8(&bytes).map_err(|_| damaged())?;
            return Ok(Self::passphrase(text.trim_end_matches(['\r', '\n']).to_owned()));
        }
        Ok(match std::env::var("HOLLER_PASSPHRASE") {
            Ok(passphrase) if !passphrase.is_empty() => Self::passphrase(passphrase),
            Ok(_) | Err(_) => Self::keystore(),
        })
    }
}

/// The key file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    version: u8,
    memory_kib: u32,
    passes: u32,
    salt: String,
    key: String,
}

/// The key of the store in `folder`: found, moved from where an earlier version left it, or made.
pub(super) fn open(folder: &Path, unlock: &Unlock) -> Result<SealingKey, KeyError> {
    let (plain, sealed, marker) = (folder.join("key"), folder.join("key.sealed"), folder.join("key.keystore"));
    let key = if sealed.exists() {
        let passphrase = unlock.passphrase.as_ref().ok_or(KeyError::PassphraseWanted)?;
        unseal(&sealed, passphrase)?
    } else if marker.exists() {
        let name = String::from_utf8_lossy(&read(&marker)?).trim().to_owned();
        match keystore(&name, Access::Read).map_err(KeyError::Keystore)? {
            Some(key) => key,
            None => return Err(KeyError::Gone(folder.to_owned())),
        }
    } else {
        let key = match read(&plain) {
            Ok(bytes) => match <[u8; 32]>::try_from(bytes.as_slice()) {
                Ok(mut bytes) => Key::take(&mut bytes),
                Err(_) => {
                    let detail = format!("expected 32 bytes, found {}", bytes.len());
                    return Err(KeyError::Damaged { path: plain, detail });
                }
            },
            Err(KeyError::File { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut bytes = [0; 32];
                getrandom::fill(&mut bytes)?;
                Key::take(&mut bytes)
            }
            Err(error) => return Err(error),
        };
        // Two processes may be first at the same time: the one whose file appears first wins, the other reads it.
        let first = match &unlock.passphrase {
            Some(passphrase) => create(&sealed, &seal(&key, passphrase)?)?,
            None => in_keystore(&marker, &key, unlock)?,
        };
        if !first {
            return open(folder, unlock);
        }
        forget_plain(&plain)?;
        key
    };
    // A process that died between the two steps left both.
    forget_plain(&plain)?;
    Ok(SealingKey::new(KeyId(1), &key))
}

fn in_keystore(marker: &Path, key: &Key, unlock: &Unlock) -> Result<bool, KeyError> {
    if unlock.no_keystore {
        return Err(KeyError::NoKeystore("turned off".to_owned()));
    }
    let mut name = [0; 16];
    getrandom::fill(&mut name)?;
    let name = hex(&name);
    keystore(&name, Access::Write(key.clone())).map_err(KeyError::NoKeystore)?;
    create(marker, name.as_bytes())
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> KeyError {
    let path = path.to_owned();
    move |error| KeyError::File { path, error }
}

fn read(path: &Path) -> Result<Vec<u8>, KeyError> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)).map_err(at(path))?;
    Ok(bytes)
}

/// Makes a file, whole or not at all. `false`: there is one already.
fn create(path: &Path, content: &[u8]) -> Result<bool, KeyError> {
    let mut suffix = [0; 8];
    getrandom::fill(&mut suffix)?;
    let new = path.with_extension(format!("new-{}", hex(&suffix)));
    let write = || {
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        // A link fails where the name is taken; a rename would replace it.
        let linked = std::fs::hard_link(&new, path);
        std::fs::remove_file(&new)?;
        match linked {
            Ok(()) => {
                if let Some(folder) = path.parent() {
                    File::open(folder)?.sync_all()?;
                }
                Ok(true)
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    };
    write().map_err(at(path))
}

/// Removes the key that an earlier version left in plain, once it is kept elsewhere.
fn forget_plain(path: &Path) -> Result<(), KeyError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(at(path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn derive(passphrase: &str, salt: &[u8], memory_kib: u32, passes: u32) -> Result<SealingKey, String> {
    let params = argon2::Params::new(memory_kib, passes, 1, Some(32)).map_err(|error| error.to_string())?;
    let argon = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let mut out = Zeroizing::new([0; 32]);
    argon.hash_password_into(passphrase.as_bytes(), salt, &mut *out).map_err(|error| error.to_string())?;
    Ok(SealingKey::new(KeyId(0), &Key::take(&mut out)))
}

fn place<'a>(row: &'a [&'a [u8]]) -> Place<'a> {
    Place { table: "key", column: "sealed", row }
}

fn seal(key: &Key, passphrase: &str) -> Result<Vec<u8>, KeyError> {
    let (mut salt, mut nonce) = ([0; 16], [0; NONCE_BYTES]);
    getrandom::fill(&mut salt)?;
    getrandom::fill(&mut nonce)?;
    let damaged = |detail| KeyError::Damaged { path: PathBuf::from("key.sealed"), detail };
    let wrapping = derive(passphrase, &salt, MEMORY_KIB, PASSES).map_err(damaged)?;
    let key = hex(&wrapping.wrap(&nonce, &place(&[&salt]), key));
    let file = Sealed { version: 1, memory_kib: MEMORY_KIB, passes: PASSES, salt: hex(&salt), key };
    serde_json::to_vec(&file).map_err(|error| damaged(error.to_string()))
}

fn unseal(path: &Path, passphrase: &str) -> Result<Key, KeyError> {
    let damaged = |detail: String| KeyError::Damaged { path: path.to_owned(), detail };
    let file: Sealed = serde_json::from_slice(&read(path)?).map_err(|error| damaged(error.to_string()))?;
    let Sealed { version, memory_kib, passes, salt, key } = file;
    if version != 1 || memory_kib > MEMORY_KIB_MAX || passes > PASSES_MAX {
        return Err(damaged(format!(
            "version {version} with {memory_kib} KiB and {passes} passes is not for this client"
        )));
    }
    let (salt, key) = unhex(&salt).zip(unhex(&key)).ok_or_else(|| damaged("expected hexadecimal digits".to_owned()))?;
    let wrapping = derive(passphrase, &salt, memory_kib, passes).map_err(damaged)?;
    wrapping.unwrap(&place(&[&salt]), &key).map_err(|_| KeyError::WrongPassphrase(path.to_owned()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let pairs = digits.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs.map(|pair| u8::from_str_radix(core::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

enum Access {
    Read,
    Write(Key),
}

/// Reads or writes an entry of the system's key store. `Ok(None)`: it has no such entry.
///
/// On a thread of its own: the store's library waits for D-Bus, which must not happen on a runtime's thread.
#[cfg(target_os = "linux")]
fn keystore(name: &str, access: Access) -> Result<Option<Key>, String> {
    let name = name.to_owned();
    let thread = std::thread::Builder::new().name("holler-keystore".into());
    let work = thread.spawn(move || {
        let text = |error: keyring_core::Error| error.to_string();
        let store = zbus_secret_service_keyring_store::Store::new().map_err(text)?;
        use keyring_core::api::CredentialStoreApi;
        let entry = store.build(SERVICE, &name, None).map_err(text)?;
        match access {
            Access::Write(key) => entry.set_secret(key.expose()).map(|()| None).map_err(text),
            Access::Read => match entry.get_secret() {
                Ok(mut secret) => {
                    let taken = <[u8; 32]>::try_from(secret.as_slice());
                    secret.zeroize();
                    let mut bytes = taken.map_err(|_| "the entry is not a key of 32 bytes".to_owned())?;
                    Ok(Some(Key::take(&mut bytes)))
                }
                Err(keyring_core::Error::NoEntry) => Ok(None),
                Err(error) => Err(text(error)),
            },
        }
    });
    let work = work.map_err(|error| format!("thread: {error}"))?;
    work.join().map_err(|_| "the key store's library failed".to_owned())?
}

/// No key store is known for this system yet.
#[cfg(not(target_os = "linux"))]
fn keystore(_: &str, _: Access) -> Result<Option<Key>, String> {
    Err("none is supported on this system".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without_keystore() -> Unlock {
        Unlock { passphrase: None, no_keystore: true }
    }

    fn opens(folder: &Path, unlock: &Unlock, envelope: &[u8]) -> bool {
        open(folder, unlock).unwrap().open(&place(&[]), envelope).is_ok()
    }

    #[test]
    fn a_passphrase_closes_the_key_and_the_same_one_opens_it() {
        let folder = tempfile::tempdir().unwrap();
        let unlock = Unlock::passphrase("correct horse".into());
        let envelope = open(folder.path(), &unlock).unwrap().seal(&[1; NONCE_BYTES], &place(&[]), b"value");
        assert!(opens(folder.path(), &unlock, &envelope));
        let other = Unlock::passphrase("correct donkey".into());
        assert!(matches!(open(folder.path(), &other), Err(KeyError::WrongPassphrase(_))));
        assert!(matches!(open(folder.path(), &without_keystore()), Err(KeyError::PassphraseWanted)));
        let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["key.sealed"]);
    }

    #[test]
    fn without_key_store_and_passphrase_nothing_is_kept_in_plain() {
        let folder = tempfile::tempdir().unwrap();
        let error = open(folder.path(), &without_keystore()).unwrap_err();
        assert!(matches!(error, KeyError::NoKeystore(_)) && error.to_string().contains("HOLLER_PASSPHRASE_FILE"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_key_that_lay_in_plain_is_moved_and_stays_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let plain = folder.path().join("key");
        std::fs::write(&plain, [7; 32]).unwrap();
        let key = SealingKey::new(KeyId(1), &Key::take(&mut [7; 32]));
        let envelope = key.seal(&[1; NONCE_BYTES], &place(&[]), b"value");
        // Where it can't be moved, it is not lost.
        assert!(open(folder.path(), &without_keystore()).is_err() && plain.exists());
        let unlock = Unlock::passphrase("correct horse".into());
        assert!(opens(folder.path(), &unlock, &envelope));
        assert!(!plain.exists(), "not in plain any more");
        // A process that died before it could remove the plain one.
        std::fs::write(&plain, [7; 32]).unwrap();
        assert!(opens(folder.path(), &unlock, &envelope) && !plain.exists());
    }

    #[test]
    fn a_damaged_or_greedy_key_file_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.sealed");
        let unlock = Unlock::passphrase("x".into());
        for content in [
            "",
            "{}",
            r#"{"version":1,"memory_kib":4294967295,"passes":2,"salt":"00","key":"00"}"#,
            r#"{"version":1,"memory_kib":19456,"passes":2,"salt":"0","key":"00"}"#,
        ] {
            std::fs::write(&path, content).unwrap();
            assert!(matches!(open(folder.path(), &unlock), Err(KeyError::Damaged { .. })), "{content}");
        }
    }
}
