//! Passwords: Argon2id (RFC 9106), a bounded number at once, and the same work whether or not the login exists.

use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash};
use argon2::{Algorithm, Argon2, Params, Version};
use holler_core::wire::problem::{Problem, ProblemKind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use tokio::sync::{Semaphore, oneshot};
use zeroize::Zeroizing;

/// 19 MiB, two passes, one lane: OWASP's first recommendation for Argon2id. More memory would slow guessing further, and
/// sign-ins too.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
/// Hashes computed at once: each takes a processor and 19 MiB, and voice needs processors too.
const AT_ONCE_MAX: usize = 4;
/// Hashes that wait or run; more are refused, so that a flood of sign-ins costs bounded memory.
const WAITING_MAX: usize = 64;

type Work = Box<dyn FnOnce() + Send>;

/// Hashes and verifies passwords. A cheap clone.
///
/// The work is done by threads of its own. On the runtime's many blocking threads the system's allocator would keep 19 MiB for
/// each thread that ever hashed: hundreds of megabytes after a busy morning.
#[derive(Clone)]
pub struct Passwords {
    work: mpsc::Sender<Work>,
    waiting: Arc<Semaphore>,
    /// The hash of a password that nobody knows, verified for logins that don't exist.
    nobody: Arc<str>,
}

impl Passwords {
    /// Takes as long as one hash.
    pub fn new() -> Result<Self, Problem> {
        let mut unknown = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *unknown).map_err(|error| fault(&error))?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let (work, queue) = mpsc::channel::<Work>();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..(processors / 2).clamp(1, AT_ONCE_MAX) {
            let queue = Arc::clone(&queue);
            let run = move || {
                loop {
                    // The lock is let go of before the work begins. The queue ends with the last `Passwords`.
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(work) = next else { return };
                    work();
                }
            };
            std::thread::Builder::new().name("passwords".to_owned()).spawn(run).map_err(|error| fault(&error))?;
        }
        Ok(Self { work, waiting: Arc::new(Semaphore::new(WAITING_MAX)), nobody: hash(&*unknown)?.into() })
    }

    /// The PHC string of a password.
    pub async fn hash(&self, password: Zeroizing<String>) -> Result<Zeroizing<String>, Problem> {
        self.run(move || hash(password.as_bytes()).map(Zeroizing::new)).await?
    }

    /// Whether the password is the one that `stored` was made of; `None` takes as long and is `false`.
    pub async fn verify(
        &self,
        password: Zeroizing<String>,
        stored: Option<Zeroizing<String>>,
    ) -> Result<bool, Problem> {
        let nobody = Arc::clone(&self.nobody);
        self.run(move || {
            let text = stored.as_ref().map_or(&*nobody, |stored| stored.as_str());
            let parsed = PasswordHash::new(text).map_err(|error| fault(&error))?;
            let same = Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok();
            Ok(same && stored.is_some())
        })
        .await?
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let busy =
            |_| Problem::new(ProblemKind::Unavailable, "too many sign-ins at the moment: try again").retry_after_s(2);
        let waiting = Arc::clone(&self.waiting).try_acquire_owned().map_err(busy)?;
        let (answer, answered) = oneshot::channel();
        // The permit goes with the work: a caller that gives up does not make room for more than may wait.
        let job = move || {
            let value = work();
            drop(waiting);
            let _ = answer.send(value);
        };
        self.work.send(Box::new(job)).map_err(|error| fault(&error))?;
        answered.await.map_err(|error| fault(&error))
    }
}

fn hash(password: &[u8]) -> Result<String, Problem> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).map_err(|error| fault(&error))?;
    let hashed = Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password(password);
    hashed.map(|hash: PasswordHash| hash.to_string()).map_err(|error| fault(&error))
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
        assert!(passwords.verify(secret("correct horse battery"), Some(stored.clone())).await.unwrap());
        assert!(!passwords.verify(secret("correct horse batter"), Some(stored.clone())).await.unwrap());
        assert!(!passwords.verify(secret("correct horse battery"), None).await.unwrap());
        assert_ne!(stored, passwords.hash(secret("correct horse battery")).await.unwrap(), "salted");
    }

    #[tokio::test]
    async fn a_flood_is_refused_instead_of_queued() {
        let passwords = Passwords::new().unwrap();
        let held =
            Arc::clone(&passwords.waiting).acquire_many_owned(u32::try_from(WAITING_MAX).unwrap()).await.unwrap();
        let refused = passwords.verify(secret("x"), None).await.unwrap_err();
        assert!(refused.is(ProblemKind::Unavailable) && refused.retry_after_s.is_some());
        drop(held);
        assert!(!passwords.verify(secret("x"), None).await.unwrap());
    }
}
