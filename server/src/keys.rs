//! The key ring: the secrets that everything at rest hangs on, kept apart from the data.
//!
//! `ring.toml` in the keys directory holds one or more keys of 32 bytes, each with a number, and says which of them wraps
//! new data keys. It is made once, on the first start, and never written over: losing it means losing the data. The data
//! folder remembers which ring keys it needs (`KEYS`, see `storage::folder`), so that a wrong ring is noticed before anything
//! is touched.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use holler_core::seal::{KEY_BYTES, Key, KeyId, NONCE_BYTES, Nonce, OpenError, Place, SealingKey, key_id};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

/// The file's name in the keys directory.
pub const RING_FILE: &str = "ring.toml";

/// Largest ring file that is read, in bytes: some hundred keys.
const RING_BYTES_MAX: u64 = 64 * 1024;

/// Why there is no key ring.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// The file is not there, but the data folder needs one.
    #[error(
        "{ring} is missing, and the data in {data} is sealed with it. Bring the file back, or name its directory with --keys. \
         Nothing was changed."
    )]
    Missing {
        /// Where the ring was looked for.
        ring: PathBuf,
        /// The data folder.
        data: PathBuf,
    },
    /// The file is not there, and nothing may be created.
    #[error("{0} is missing: start the server once, or name its directory with --keys")]
    NotThere(PathBuf),
    /// Others than the owner may read or write it.
    #[error("{path} is open to other users (mode {mode:o}): run `chmod {wanted:o} {path}`")]
    Exposed {
        /// The file or directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// What they must be.
        wanted: u32,
    },
    /// The file can't be understood.
    #[error("{path}: {fault}. Bring back the file as it was; nothing was changed.")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, without any secret.
        fault: String,
    },
    /// The system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The ring's keys. A cheap clone; never printed.
#[derive(Clone)]
pub struct KeyRing(Arc<Ring>);

struct Ring {
    /// The folder that it was read from; `None`: it is kept nowhere.
    folder: Option<PathBuf>,
    active: KeyId,
    keys: BTreeMap<KeyId, RingKey>,
}

struct RingKey {
    wrapping: SealingKey,
    check: [u8; 32],
}

impl RingKey {
    fn new(id: KeyId, secret: &Key) -> Self {
        Self {
            wrapping: SealingKey::new(id, &secret.subkey("holler/ring/wrap/1")),
            check: *secret.subkey("holler/ring/check/1").expose(),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RingFile {
    active: u32,
    key: Vec<RingFileKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RingFileKey {
    id: u32,
    secret: String,
}

impl Drop for RingFileKey {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl KeyRing {
    /// Reads the ring in `keys`, or makes one where neither it nor any data is there yet.
    pub fn load_or_create(keys: &Path, data: &Path) -> Result<Self, RingError> {
        match Self::load(keys) {
            Err(RingError::NotThere(ring)) if crate::storage::has_data(data) => {
                Err(RingError::Missing { ring, data: data.to_owned() })
            }
            Err(RingError::NotThere(_)) => {
                create(keys)?;
                // Whoever came first made the ring that counts.
                Self::load(keys)
            }
            other => other,
        }
    }

    /// Reads the ring in `keys`.
    pub fn load(keys: &Path) -> Result<Self, RingError> {
        let path = keys.join(RING_FILE);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(RingError::NotThere(path)),
            Err(source) => return Err(RingError::Io { path, source }),
        };
        private(keys, &fs::metadata(keys).map_err(io_at(keys))?, 0o700)?;
        private(&path, &file.metadata().map_err(io_at(&path))?, 0o600)?;
        let mut text = Zeroizing::new(String::new());
        file.take(RING_BYTES_MAX).read_to_string(&mut text).map_err(io_at(&path))?;
        parse(&text, Some(keys)).map_err(|fault| RingError::Malformed { path, fault })
    }

    /// A ring of one new key that is kept nowhere: for tests and for data that shall not outlive the process.
    pub fn ephemeral() -> Result<Self, getrandom::Error> {
        let id = KeyId(1);
        Ok(Self(Arc::new(Ring {
            folder: None,
            active: id,
            keys: BTreeMap::from([(id, RingKey::new(id, &random_key()?))]),
        })))
    }

    /// Adds a new key to the ring in `keys`, which wraps new data keys from now on; the earlier ones stay. Gives the ring as it is now.
    pub fn rotate(keys: &Path) -> Result<Self, RingError> {
        let path = keys.join(RING_FILE);
        let secret = random_key().map_err(|error| RingError::Io { path, source: io::Error::other(error) })?;
        let rotated = edit(keys, |file| {
            let id = file.key.iter().map(|key| key.id).max().unwrap_or(0).saturating_add(1);
            file.key.push(RingFileKey { id, secret: BASE64.encode(secret.expose()) });
            file.active = id;
            Ok(())
        });
        rotated.map(|(ring, ())| ring)
    }

    /// Removes a key that is not the active one from the ring in `keys`. That nothing needs it is the caller's to know.
    pub fn prune(keys: &Path, id: KeyId) -> Result<Self, RingError> {
        let pruned = edit(keys, |file| {
            if file.active != id.0 {
                file.key.retain(|key| key.id != id.0);
            }
            Ok(())
        });
        pruned.map(|(ring, ())| ring)
    }

    /// The same ring as it lies in its folder now; `None`: it is kept nowhere, or nothing changed.
    pub(crate) fn read_again(&self) -> Result<Option<Self>, RingError> {
        let Some(folder) = &self.0.folder else { return Ok(None) };
        let now = Self::load(folder)?;
        Ok((now.active() != self.active() || !now.checks().eq(self.checks())).then_some(now))
    }

    /// The key that wraps new data keys.
    pub fn active(&self) -> KeyId {
        self.0.active
    }

    /// Every key with its check value, which shows whether two rings hold the same key and says nothing else about it.
    pub fn checks(&self) -> impl Iterator<Item = (KeyId, [u8; 32])> + '_ {
        self.0.keys.iter().map(|(id, key)| (*id, key.check))
    }

    /// The check value of one key.
    pub fn check(&self, id: KeyId) -> Option<[u8; 32]> {
        self.0.keys.get(&id).map(|key| key.check)
    }

    /// Wraps a data key with the active key.
    pub fn wrap(&self, place: &Place<'_>, key: &Key) -> Result<Vec<u8>, getrandom::Error> {
        let nonce = random_nonce()?;
        Ok(self.0.keys.get(&self.0.active).map(|ring| ring.wrapping.wrap(&nonce, place, key)).unwrap_or_default())
    }

    /// Unwraps a data key with the key that it names.
    pub fn unwrap(&self, place: &Place<'_>, envelope: &[u8]) -> Result<Key, OpenError> {
        let found = key_id(envelope)?;
        let ring = self.0.keys.get(&found).ok_or(OpenError::OtherKey { expected: self.0.active, found })?;
        ring.wrapping.unwrap(place, envelope)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<KeyId> = self.0.keys.keys().copied().collect();
        f.debug_struct("KeyRing").field("active", &self.0.active).field("ids", &ids).finish()
    }
}

/// A new data key from the system's random source.
pub fn random_key() -> Result<Key, getrandom::Error> {
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(Key::take(&mut bytes))
}

/// A new nonce from the system's random source.
pub fn random_nonce() -> Result<Nonce, getrandom::Error> {
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce)?;
    Ok(nonce)
}

/// So many of them, asked for at once.
pub fn random_nonces(count: usize) -> Result<Vec<Nonce>, getrandom::Error> {
    let mut nonces = vec![[0; NONCE_BYTES]; count];
    getrandom::fill(nonces.as_flattened_mut())?;
    Ok(nonces)
}

/// What is wrong is said without quoting the text: it holds secrets.
fn parse(text: &str, folder: Option<&Path>) -> Result<KeyRing, String> {
    let file = parse_file(text)?;
    let mut keys = BTreeMap::new();
    for entry in &file.key {
        let id = KeyId(entry.id);
        let bytes = Zeroizing::new(BASE64.decode(&entry.secret).unwrap_or_default());
        let mut secret: [u8; KEY_BYTES] =
            bytes.as_slice().try_into().map_err(|_| format!("key {id}: expected 32 bytes in base 64"))?;
        if keys.insert(id, RingKey::new(id, &Key::take(&mut secret))).is_some() {
            return Err(format!("key {id} is there twice"));
        }
    }
    let active = KeyId(file.active);
    if !keys.contains_key(&active) {
        return Err(format!("`active` names key {active}, which is not there"));
    }
    Ok(KeyRing(Arc::new(Ring { folder: folder.map(Path::to_owned), active, keys })))
}

fn parse_file(text: &str) -> Result<RingFile, String> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        format!("expected `active = ID` and [[key]] tables with `id` and `secret`; line {line} is different")
    })
}

fn render(file: &RingFile) -> Zeroizing<String> {
    let mut text = Zeroizing::new(format!(
        "# The keys that the data of this server is sealed with. Keep a copy apart from the data: without it the data is\n\
         # lost, and with it the data can be read.\n\
         active = {}\n",
        file.active
    ));
    for key in &file.key {
        let entry = Zeroizing::new(format!("\n[[key]]\nid = {}\nsecret = \"{}\"\n", key.id, key.secret));
        text.push_str(&entry);
    }
    text
}

/// Reads the ring's file, lets `change` change it, and replaces it whole. Another process that does the same is waited for.
fn edit<T>(keys: &Path, change: impl FnOnce(&mut RingFile) -> Result<T, RingError>) -> Result<(KeyRing, T), RingError> {
    // Everything that is checked of a ring is checked first.
    KeyRing::load(keys)?;
    let path = keys.join(RING_FILE);
    let folder = File::open(keys).map_err(io_at(keys))?;
    rustix::fs::flock(&folder, rustix::fs::FlockOperation::LockExclusive).map_err(|error| io_at(keys)(error.into()))?;
    let text = Zeroizing::new(fs::read_to_string(&path).map_err(io_at(&path))?);
    let malformed = |fault| RingError::Malformed { path: path.clone(), fault };
    let mut file = parse_file(&text).map_err(malformed)?;
    let done = change(&mut file)?;
    replace(&path, render(&file).as_bytes()).map_err(io_at(&path))?;
    Ok((KeyRing::load(keys)?, done))
}

fn create(keys: &Path) -> Result<(), RingError> {
    let path = keys.join(RING_FILE);
    DirBuilder::new().recursive(true).mode(0o700).create(keys).map_err(io_at(keys))?;
    private(keys, &fs::metadata(keys).map_err(io_at(keys))?, 0o700)?;
    let secret = random_key().map_err(|error| RingError::Io { path: path.clone(), source: io::Error::other(error) })?;
    let key = RingFileKey { id: 1, secret: BASE64.encode(secret.expose()) };
    write_new(&path, render(&RingFile { active: 1, key: vec![key] }).as_bytes()).map_err(io_at(&path))
}

/// Writes a file of mode 0600 whole, synced, or not at all; one that is there stays as it is.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = draft(path, bytes)?;
    let linked = match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    };
    fs::remove_file(&draft)?;
    linked?;
    sync_parent(path)
}

/// Replaces a file of mode 0600 whole, synced, or not at all.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = draft(path, bytes)?;
    fs::rename(&draft, path)?;
    sync_parent(path)
}

fn draft(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let draft = path.with_file_name(name);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(draft)
}

pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

fn private(path: &Path, found: &fs::Metadata, wanted: u32) -> Result<(), RingError> {
    let mode = found.mode() & 0o7777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(RingError::Exposed { path: path.to_owned(), mode, wanted }) }
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> RingError {
    let path = path.to_owned();
    move |source| RingError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let top = tempfile::tempdir().unwrap();
        let (keys, data) = (top.path().join("a/keys"), top.path().join("data"));
        (top, keys, data)
    }

    #[test]
    fn the_first_start_makes_a_private_ring_and_later_ones_keep_it() {
        let (_top, keys, data) = folders();
        let first = KeyRing::load_or_create(&keys, &data).unwrap();
        let bytes = fs::read(keys.join(RING_FILE)).unwrap();
        assert_eq!(fs::metadata(&keys).unwrap().mode() & 0o7777, 0o700);
        assert_eq!(fs::metadata(keys.join(RING_FILE)).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(&keys).unwrap().count(), 1, "no draft is left");
        let second = KeyRing::load_or_create(&keys, &data).unwrap();
        assert!(first.checks().eq(second.checks()));
        create(&keys).unwrap();
        assert_eq!(fs::read(keys.join(RING_FILE)).unwrap(), bytes, "a ring is never written over");
    }

    #[test]
    fn a_ring_that_others_can_read_is_refused_with_the_cure() {
        let (_top, keys, data) = folders();
        KeyRing::load_or_create(&keys, &data).unwrap();
        let file = keys.join(RING_FILE);
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            let refusal = KeyRing::load(&keys).unwrap_err().to_string();
            assert!(refusal.contains(&format!("chmod 600 {}", file.display())), "{refusal}");
        }
        fs::set_permissions(&file, Permissions::from_mode(0o400)).unwrap();
        KeyRing::load(&keys).unwrap();
        fs::set_permissions(&keys, Permissions::from_mode(0o755)).unwrap();
        let refusal = KeyRing::load(&keys).unwrap_err().to_string();
        assert!(refusal.contains(&format!("chmod 700 {}", keys.display())), "{refusal}");
    }

    #[test]
    fn faults_in_the_file_are_told_without_its_secrets() {
        const SECRET: &str = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U=";
        for (text, told) in [
            (format!("active = 2\n[[key]]\nid = 1\nsecret = \"{SECRET}\"\n"), "key 2, which is not there"),
            (format!("active = 1\n[[key]]\nid = 1\nsecret = \"{SECRET}AA\"\n"), "key 1: expected 32 bytes"),
            (
                format!("active = 1\n{0}{0}", format_args!("[[key]]\nid = 1\nsecret = \"{SECRET}\"\n")),
                "key 1 is there twice",
            ),
            (format!("active = 1\n[[key]]\nid = 1\nsecert = \"{SECRET}\"\n"), "line 4"),
            ("active = 1\nkey = []\n".to_owned(), "key 1, which is not there"),
        ] {
            let fault = parse(&text, None).unwrap_err();
            assert!(fault.contains(told), "{fault}");
            assert!(!fault.contains("c2VjcmV0"), "{fault}");
        }
    }

    #[test]
    fn a_key_that_is_no_longer_active_still_unwraps() {
        let secret = |byte| BASE64.encode([byte; 32]);
        let one = format!("[[key]]\nid = 1\nsecret = \"{}\"\n", secret(1));
        let two = format!("[[key]]\nid = 2\nsecret = \"{}\"\n", secret(2));
        let before = parse(&format!("active = 1\n{one}"), None).unwrap();
        let after = parse(&format!("active = 2\n{one}{two}"), None).unwrap();
        let place = Place { table: "t", column: "c", row: &[] };
        let data_key = random_key().unwrap();
        let wrapped = before.wrap(&place, &data_key).unwrap();
        assert_eq!(after.unwrap(&place, &wrapped).unwrap().expose(), data_key.expose());
        assert_eq!(key_id(&after.wrap(&place, &data_key).unwrap()), Ok(KeyId(2)));
        let lost = parse(&format!("active = 2\n{two}"), None).unwrap();
        assert!(lost.unwrap(&place, &wrapped).is_err());
        assert!(format!("{after:?}").contains("KeyId(2)") && !format!("{after:?}").contains(&secret(1)));
    }

    #[test]
    fn a_rotated_ring_keeps_the_earlier_keys_until_they_are_pruned() {
        let (_top, keys, data) = folders();
        let first = KeyRing::load_or_create(&keys, &data).unwrap();
        assert!(first.read_again().unwrap().is_none());
        let second = KeyRing::rotate(&keys).unwrap();
        assert_eq!((second.active(), second.checks().count()), (KeyId(2), 2));
        assert_eq!(second.check(KeyId(1)), first.check(KeyId(1)));
        assert_eq!(fs::metadata(keys.join(RING_FILE)).unwrap().mode() & 0o7777, 0o600);
        // A server that has read the ring before sees the new one.
        assert_eq!(first.read_again().unwrap().unwrap().active(), KeyId(2));
        assert_eq!(KeyRing::prune(&keys, KeyId(2)).unwrap().checks().count(), 2, "the active key stays");
        let pruned = KeyRing::prune(&keys, KeyId(1)).unwrap();
        assert_eq!(pruned.checks().map(|(id, _)| id).collect::<Vec<_>>(), [KeyId(2)]);
        assert_eq!(KeyRing::rotate(&keys).unwrap().active(), KeyId(3), "numbers are not used again");
    }
}
