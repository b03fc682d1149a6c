//! Passwords: Argon2id (RFC 9106), a bounded number at once, and the same work whether or not the login exists.

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use holler_core::wire::problem::{Problem, ProblemKind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use subtle::ConstantTimeEq as _;
use tokio::sync::{Semaphore, oneshot};
use zeroize::Zeroizing;

/// 19 MiB, two passes, one lane: OWASP's first recommendation for Argon2id. More memory would slow guessing further, and
/// sign-ins too.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const HASH_BYTES: usize = 32;
const SALT_BYTES: usize = 16;
/// Hashes computed at once, on half of the processors, because voice needs processors too. Each has 19 MiB for good, so this bounds
/// what passwords take: 19 MiB on up to three processors, 76 MiB at most.
const AT_ONCE_MAX: usize = 4;
/// Hashes that wait or run; more are refused, so that a flood of sign-ins costs bounded memory.
const WAITING_MAX: usize = 64;
/// Of those, sign-ins of strangers: however many of them come, known devices find a place.
const STRANGERS_MAX: usize = 48;

/// Who wants a password checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Anybody.
    Stranger,
    /// Somebody who is signed in, or was on the same device.
    Known,
}

type Work = Box<dyn FnOnce(&mut Bench) + Send>;

/// Hashes and verifies passwords. A cheap clone.
///
/// The work is done by threads of its own, each with memory that it uses again. Taken anew for each hash, on the runtime's many
/// blocking threads, it would stay with the system's allocator: 19 MiB for each thread that ever hashed.
#[derive(Clone)]
pub struct Passwords {
    work: mpsc::Sender<Work>,
    waiting: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    /// The hash of a password that nobody knows, verified for logins that don't exist.
    nobody: Arc<str>,
    hashed: Arc<AtomicU64>,
}

impl Passwords {
    /// Takes as long as one hash.
    pub fn new() -> Result<Self, Problem> {
        let hashed = Arc::new(AtomicU64::new(0));
        let bench = || Bench { blocks: Vec::new(), hashed: Arc::clone(&hashed) };
        let mut first = bench();
        let nobody = first.hash(&*Zeroizing::new(random::<32>()?))?.into();
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let (work, queue) = mpsc::channel::<Work>();
        let queue = Arc::new(Mutex::new(queue));
        let others = (1..(processors / 2).clamp(1, AT_ONCE_MAX)).map(|_| bench());
        for mut bench in std::iter::once(first).chain(others) {
            let queue = Arc::clone(&queue);
            let run = move || {
                loop {
                    // The lock is let go of before the work begins. The queue ends with the last `Passwords`.
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(work) = next else { return };
                    work(&mut bench);
                }
            };
            std::thread::Builder::new().name("passwords".to_owned()).spawn(run).map_err(|error| fault(&error))?;
        }
        let places = |most| Arc::new(Semaphore::new(most));
        Ok(Self { work, waiting: places(WAITING_MAX), strangers: places(STRANGERS_MAX), nobody, hashed })
    }

    /// The PHC string of a password.
    pub async fn hash(&self, password: Zeroizing<String>) -> Result<Zeroizing<String>, Problem> {
        self.run(Caller::Known, move |bench| bench.hash(password.as_bytes()).map(Zeroizing::new)).await?
    }

    /// Whether the password is the one that `stored` was made of; `None` takes as long and is `false`.
    pub async fn verify(
        &self,
        caller: Caller,
        password: Zeroizing<String>,
        stored: Option<Zeroizing<String>>,
    ) -> Result<bool, Problem> {
        let nobody = Arc::clone(&self.nobody);
        self.run(caller, move |bench| {
            let text = stored.as_ref().map_or(&*nobody, |stored| stored.as_str());
            Ok(bench.verify(password.as_bytes(), text)? && stored.is_some())
        })
        .await?
    }

    /// How many hashes were computed since the start.
    pub fn hashed(&self) -> u64 {
        self.hashed.load(Ordering::Relaxed)
    }

    async fn run<T: Send + 'static>(
        &self,
        caller: Caller,
        work: impl FnOnce(&mut Bench) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let busy =
            |_| Problem::new(ProblemKind::Unavailable, "too many sign-ins at the moment: try again").retry_after_s(2);
        let stranger = match caller {
            Caller::Stranger => Some(Arc::clone(&self.strangers).try_acquire_owned().map_err(busy)?),
            Caller::Known => None,
        };
        let waiting = Arc::clone(&self.waiting).try_acquire_owned().map_err(busy)?;
        let (answer, answered) = oneshot::channel();
        // The permit goes with the work: a caller that gives up does not make room for more than may wait.
        let job = move |bench: &mut Bench| {
            let value = work(bench);
            drop((waiting, stranger));
            let _ = answer.send(value);
        };
        self.work.send(Box::new(job)).map_err(|error| fault(&error))?;
        answered.await.map_err(|error| fault(&error))
    }
}

/// Where hashes are computed: the memory for one at a time.
struct Bench {
    blocks: Vec<Block>,
    hashed: Arc<AtomicU64>,
}

impl Bench {
    fn hash(&mut self, password: &[u8]) -> Result<String, Problem> {
        let params = Params::new(MEMORY_KIB, PASSES, 1, Some(HASH_BYTES)).map_err(|error| fault(&error))?;
        let salt = random::<SALT_BYTES>()?;
        let mut hash = Zeroizing::new([0; HASH_BYTES]);
        let written = ParamsString::try_from(&params).map_err(|error| fault(&error))?;
        self.compute(params, password, &salt, &mut *hash)?;
        let phc = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: written,
            salt: Some(Salt::new(&salt).map_err(|error| fault(&error))?),
            hash: Some(Output::new(&*hash).map_err(|error| fault(&error))?),
        };
        Ok(phc.to_string())
    }

    fn verify(&mut self, password: &[u8], stored: &str) -> Result<bool, Problem> {
        let phc = PasswordHash::new(stored).map_err(|error| fault(&error))?;
        let (Some(salt), Some(wanted)) = (phc.salt, phc.hash) else {
            return Err(fault(&"a stored password has no salt or no hash"));
        };
        let ours = phc.algorithm == Algorithm::Argon2id.ident() && phc.version == Some(Version::V0x13.into());
        let params = Params::try_from(&phc).map_err(|error| fault(&error))?;
        // Every version of this server made them so. More would be taken from the memory of all.
        if !ours || params.m_cost() > MEMORY_KIB {
            return Err(fault(&format_args!("a stored password was made otherwise: {} {}", phc.algorithm, phc.params)));
        }
        let mut found = Zeroizing::new([0; HASH_BYTES]);
        if wanted.len() != found.len() {
            return Err(fault(&format_args!("a stored password has {} bytes; expected {HASH_BYTES}", wanted.len())));
        }
        self.compute(params, password, &salt, &mut *found)?;
        Ok(found.ct_eq(wanted.as_bytes()).into())
    }

    fn compute(&mut self, params: Params, password: &[u8], salt: &[u8], into: &mut [u8]) -> Result<(), Problem> {
        self.blocks.resize(self.blocks.len().max(params.block_count()), Block::default());
        self.hashed.fetch_add(1, Ordering::Relaxed);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(password, salt, into, &mut self.blocks)
            .map_err(|error| fault(&error))
    }
}

fn random<const N: usize>() -> Result<[u8; N], Problem> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| fault(&error))?;
    Ok(bytes)
}

fn fault(error: &dyn std::fmt::Display) -> Problem {
    tracing::error!(%error, "a password could not be hashed or verified");
    Problem::new(ProblemKind::Internal, "the password could not be checked; see the server's log")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.to_owned())
    }

    #[tokio::test]
    async fn a_password_is_verified_by_its_hash_only() {
        let passwords = Passwords::new().unwrap();
        let stored = passwords.hash(secret("correct horse battery")).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", *stored);
        assert!(passwords.verify(Caller::Known, secret("correct horse battery"), Some(stored.clone())).await.unwrap());
        assert!(!passwords.verify(Caller::Known, secret("correct horse batter"), Some(stored.clone())).await.unwrap());
        assert!(!passwords.verify(Caller::Known, secret("correct horse battery"), None).await.unwrap());
        assert_ne!(stored, passwords.hash(secret("correct horse battery")).await.unwrap(), "salted");
    }

    #[tokio::test]
    async fn what_earlier_versions_stored_is_verified_and_nothing_else() {
        let passwords = Passwords::new().unwrap();
        // As the first version wrote it, by the crate's own way.
        let params = Params::new(MEMORY_KIB, PASSES, 1, None).unwrap();
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let earlier: PasswordHash = argon2::PasswordHasher::hash_password(&argon, b"an old password").unwrap();
        let earlier = Zeroizing::new(earlier.to_string());
        assert!(passwords.verify(Caller::Known, secret("an old password"), Some(earlier.clone())).await.unwrap());
        assert!(!passwords.verify(Caller::Known, secret("another password"), Some(earlier.clone())).await.unwrap());
        for (what, other) in [
            ("more memory", earlier.replace("m=19456", "m=1048576")),
            ("another algorithm", earlier.replace("argon2id", "argon2i")),
            ("no hash", earlier.rsplit_once('$').unwrap().0.to_owned()),
        ] {
            let refused = passwords
                .verify(Caller::Known, secret("an old password"), Some(Zeroizing::new(other)))
                .await
                .unwrap_err();
            assert!(refused.is(ProblemKind::Internal), "{what}");
        }
    }

    #[tokio::test]
    async fn an_unknown_login_is_the_same_work() {
        let passwords = Passwords::new().unwrap();
        let stored = passwords.hash(secret("a password")).await.unwrap();
        let before = passwords.hashed();
        assert!(!passwords.verify(Caller::Known, secret("wrong"), Some(stored.clone())).await.unwrap());
        assert_eq!(passwords.hashed(), before + 1);
        assert!(!passwords.verify(Caller::Known, secret("wrong"), None).await.unwrap());
        assert_eq!(passwords.hashed(), before + 2);
        let cost = |text: &str| text.split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(cost(&passwords.nobody), cost(&stored), "with the same parameters");
    }

    #[test]
    fn the_memory_is_used_again() {
        let mut bench = Bench { blocks: Vec::new(), hashed: Arc::default() };
        bench.hash(b"one").unwrap();
        let (at, blocks) = (bench.blocks.as_ptr(), bench.blocks.capacity());
        let stored = bench.hash(b"two").unwrap();
        assert!(bench.verify(b"two", &stored).unwrap());
        assert_eq!((bench.blocks.as_ptr(), bench.blocks.capacity()), (at, blocks));
        assert_eq!(blocks * Block::SIZE, MEMORY_KIB as usize * 1024);
    }

    #[tokio::test]
    async fn a_flood_is_refused_instead_of_queued() {
        let passwords = Passwords::new().unwrap();
        let held =
            Arc::clone(&passwords.waiting).acquire_many_owned(u32::try_from(WAITING_MAX).unwrap()).await.unwrap();
        let refused = passwords.verify(Caller::Known, secret("x"), None).await.unwrap_err();
        assert!(refused.is(ProblemKind::Unavailable) && refused.retry_after_s.is_some());
        drop(held);
        let held = Arc::clone(&passwords.strangers).acquire_many_owned(u32::try_from(STRANGERS_MAX).unwrap());
        let held = held.await.unwrap();
        let refused = passwords.verify(Caller::Stranger, secret("x"), None).await.unwrap_err();
        assert!(refused.is(ProblemKind::Unavailable), "strangers leave places");
        assert!(!passwords.verify(Caller::Known, secret("x"), None).await.unwrap());
        drop(held);
        assert!(!passwords.verify(Caller::Known, secret("x"), None).await.unwrap());
    }
}
