//! The chain: what the hash of an entry is over, and the check of a whole log without any key.
//!
//! An entry's hash is SHA-256 (FIPS 180-4) over the domain `holler/audit/1`, the workspace, and each column of the row in the
//! order of the table up to `previous`, each behind its length in 8 bytes, big-endian; numbers and times have 8 bytes, an absent
//! `about` none. The first entry's `previous` is 32 zero bytes. Details go in as they are sealed, so that the chain is checked
//! without a key and holds after a person's key was deleted.
//!
//! A chain shows that something in it was changed, removed or moved. It can't show that its end was cut off, or that somebody who
//! can write the whole file made it anew: that takes its head, kept elsewhere. Backups keep it in their manifest and
//! `hollerd audit head` prints it.

use holler_core::units::{UnixMs, UserId, WorkspaceId};
use sha2::{Digest as _, Sha256};

/// Bytes of a hash.
pub const HASH_BYTES: usize = 32;

/// An entry as it is stored: details sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// From 1 on, without holes.
    pub number: u64,
    /// When it happened.
    pub at: UnixMs,
    /// Who did it.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what, with spaces between.
    pub targets: String,
    /// Whose details these are.
    pub about: Option<UserId>,
    /// A sealed JSON object, or empty.
    pub details: Vec<u8>,
    /// The hash of the entry before.
    pub previous: [u8; HASH_BYTES],
    /// The hash of this one.
    pub hash: [u8; HASH_BYTES],
}

impl Sealed {
    /// What `hash` must be.
    pub fn computed(&self, workspace: WorkspaceId) -> [u8; HASH_BYTES] {
        let mut hash = Sha256::new();
        let parts: [&[u8]; 10] = [
            b"holler/audit/1",
            workspace.bytes(),
            &self.number.to_be_bytes(),
            &self.at.0.to_be_bytes(),
            self.actor.as_bytes(),
            self.action.as_bytes(),
            self.targets.as_bytes(),
            self.about.as_ref().map_or(&[], |about| about.bytes().as_slice()),
            &self.details,
            &self.previous,
        ];
        for part in parts {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}

/// The end of a chain: number and hash of its last entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// How many entries there are.
    pub number: u64,
    /// The last one's hash; zeros while there is none.
    pub hash: [u8; HASH_BYTES],
}

impl std::fmt::Display for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.number, hex(&self.hash))
    }
}

impl std::str::FromStr for Head {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (number, hash) = text.split_once(':')?;
            Some(Self { number: number.parse().ok()?, hash: unhex(hash)?.try_into().ok()? })
        };
        parse().ok_or_else(|| "expected NUMBER:HASH as `hollerd audit head` prints it".to_owned())
    }
}

/// What is wrong with a chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The entry is not what was written.
    #[error("entry {0} was changed: its hash does not agree with what it says")]
    Changed(u64),
    /// Entries are missing, doubled or out of order.
    #[error("expected entry {expected}, found entry {found}: entries were removed, added or moved")]
    Order {
        /// The number that had to come.
        expected: u64,
        /// The one that came.
        found: u64,
    },
    /// The entry before it is not the one that it was written after.
    #[error("entry {0} does not follow the entry before it: that one was replaced")]
    Torn(u64),
    /// It ends before the head that was kept.
    #[error("the log ends at entry {found}, but had {expected}: its end was cut off")]
    Truncated {
        /// The number of the head.
        expected: u64,
        /// The last entry.
        found: u64,
    },
    /// The entry at the number of the head that was kept is another.
    #[error("entry {0} is not the one whose hash was kept: the log was written anew")]
    Rewritten(u64),
}

/// Checks a log from its first entry on.
#[derive(Debug)]
pub struct Verifier {
    workspace: WorkspaceId,
    head: Head,
    kept: Vec<Head>,
}

impl Verifier {
    /// A check of this workspace's log, which must reach and contain each of the heads that were kept.
    pub fn new(workspace: WorkspaceId, kept: Vec<Head>) -> Self {
        Self { workspace, head: Head::default(), kept }
    }

    /// The next entry.
    pub fn push(&mut self, entry: &Sealed) -> Result<(), Fault> {
        let expected = self.head.number + 1;
        if entry.number != expected {
            return Err(Fault::Order { expected, found: entry.number });
        }
        if entry.previous != self.head.hash {
            return Err(Fault::Torn(entry.number));
        }
        if entry.hash != entry.computed(self.workspace) {
            return Err(Fault::Changed(entry.number));
        }
        self.head = Head { number: entry.number, hash: entry.hash };
        if self.kept.iter().any(|kept| kept.number == entry.number && kept.hash != entry.hash) {
            return Err(Fault::Rewritten(entry.number));
        }
        Ok(())
    }

    /// There are no more: gives the head.
    pub fn finish(self) -> Result<Head, Fault> {
        match self.kept.iter().map(|kept| kept.number).max() {
            Some(expected) if expected > self.head.number => {
                Err(Fault::Truncated { expected, found: self.head.number })
            }
            Some(_) | None => Ok(self.head),
        }
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Back from [`hex`].
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}
