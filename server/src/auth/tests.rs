use std::net::{IpAddr, Ipv4Addr};

use holler_core::wire::rest::{SignIn, Tokens};
use zeroize::Zeroizing;

use super::*;
use crate::keys::KeyRing;
use crate::storage::NoHooks;
use crate::storage::accounts::UserRow;

const WORKSPACE: WorkspaceId = WorkspaceId::from_bytes([1; 16]);
const SAM: UserId = UserId::from_bytes([2; 16]);
const ROOM: RoomId = RoomId::from_bytes([3; 16]);
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

struct Bench {
    auth: Auth,
    store: Store,
    ring: KeyRing,
    dir: tempfile::TempDir,
}

async fn bench() -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let ring = KeyRing::ephemeral().unwrap();
    let store = Store::open(dir.path(), ring.clone(), Arc::new(NoHooks)).unwrap();
    let vault = store.vault().clone();
    store.write(move |db| Accounts::create(db, &vault, WORKSPACE, "Harbour", UnixMs(1)).map(|_| ())).await.unwrap();
    let auth = open(&store).await;
    let password = auth.hash_password(Zeroizing::new("right password".to_owned())).await.unwrap();
    auth.change(Actor::Cli, move |accounts, now| {
        let sam = UserRow { id: SAM, login: "sam".into(), name: "Sam".into(), role: UserRole::Member };
        accounts.add_user(&sam, &password, now)?;
        accounts.add_room(ROOM, holler_core::model::RoomKind::Group, "Room", now)
    })
    .await
    .unwrap();
    Bench { auth, store, ring, dir }
}

async fn open(store: &Store) -> Auth {
    let lifetimes = Lifetimes { access: Duration::from_secs(600), refresh: Duration::from_secs(86_400) };
    Auth::open(store.clone(), WORKSPACE, Clock::default(), lifetimes).await.unwrap()
}

async fn sign_in(auth: &Auth, password: &str, device: Option<DeviceId>) -> Result<Tokens, Problem> {
    let request =
        SignIn { login: "Sam".into(), password: password.into(), device_name: "phone".into(), device, earlier: None };
    auth.sign_in(request, HERE).await
}

impl Auth {
    /// A token as this server made it, an hour after its end.
    pub(crate) fn expired_token(&self, user: UserId, device: DeviceId, scopes: Vec<Scope>) -> Result<String, Problem> {
        let subject = tokens::Subject { user, device, sign_in: None, scopes };
        self.0.keys.load().sign(subject, UnixMs(self.0.clock.unix().0 - 3_660_000), 60)
    }
}

#[tokio::test]
async fn keys_of_tokens_are_replaced_with_an_overlap_until_they_are_pruned() {
    let bench = bench().await;
    let tokens = sign_in(&bench.auth, "right password", None).await.unwrap();
    let principal = bench.auth.verify(&tokens.access_token).unwrap();
    let earlier = bench.auth.resume_token(&principal).unwrap();
    let (signing, resume) = (tokens::generate().unwrap(), resume::generate().unwrap());
    // As another process does it; this one notices.
    let (vault, now) = (bench.store.vault().clone(), UnixMs(Clock::default().unix().0 + 5));
    let rotate = move |db: &rusqlite::Connection| {
        let accounts = Accounts::open(db, &vault, WORKSPACE)?.acting(Actor::Cli, now);
        accounts.add_signing_key(&signing.0, &signing.1, now)?;
        accounts.add_resume_key(resume.0, &resume.1, now)?;
        accounts.changed()
    };
    bench.store.write(rotate).await.unwrap();
    bench.auth.look().await.unwrap();
    let later = bench.auth.resume_token(&principal).unwrap();
    // The name of the key stands behind prefix and workspace.
    assert_ne!(earlier.get(26..36), later.get(26..36), "made with the new key");
    for token in [&earlier, &later] {
        assert_eq!(bench.auth.resume(token).unwrap(), principal);
    }
    assert!(bench.auth.verify(&tokens.access_token).is_ok());
    let prune = async |before: u64| {
        let prune = move |accounts: &Accounts<'_>, _| {
            let before = UnixMs(before);
            assert_eq!(accounts.prune_signing_keys(before)?, accounts.prune_resume_keys(before)?);
            Ok(accounts.changed()?)
        };
        bench.auth.change(Actor::Cli, prune).await.unwrap();
    };
    prune(now.0).await;
    assert!(bench.auth.resume(&earlier).is_ok(), "it was replaced at that moment, not before");
    prune(now.0 + 1).await;
    assert_eq!(bench.auth.resume(&earlier), Err(CloseCode::ResumeRefused));
    assert_eq!(bench.auth.resume(&later).unwrap(), principal, "the newest stays");
    assert!(bench.auth.verify(&tokens.access_token).is_err());
}

#[tokio::test]
async fn a_sign_in_that_was_not_used_for_long_ends() {
    let bench = bench().await;
    let lifetimes = Lifetimes { access: Duration::from_secs(600), refresh: Duration::ZERO };
    let auth = Auth::open(bench.store.clone(), WORKSPACE, Clock::default(), lifetimes).await.unwrap();
    let tokens = sign_in(&auth, "right password", None).await.unwrap();
    let refused = auth.refresh(&tokens.refresh_token).await.unwrap_err();
    assert!(refused.is(ProblemKind::Unauthenticated) || refused.is(ProblemKind::Revoked), "{refused}");
    let longer = open(&bench.store).await;
    let tokens = sign_in(&longer, "right password", None).await.unwrap();
    assert!(longer.refresh(&tokens.refresh_token).await.is_ok());
}

/// The budget of a device that was signed in before is for that device alone, while it is good.
#[tokio::test]
async fn a_device_is_known_by_a_token_that_it_got_and_until_it_is_revoked() {
    let bench = bench().await;
    let tokens = sign_in(&bench.auth, "right password", None).await.unwrap();
    let device = tokens.device;
    let session = bench.auth.resume_token(&bench.auth.verify(&tokens.access_token).unwrap()).unwrap();
    assert!(bench.auth.resume(&session).is_ok());
    let known = async |login: &str, device: DeviceId, token: &str| {
        bench.auth.known_device(login, Some(device), Some(token.to_owned())).await.unwrap()
    };
    let refresh = tokens.refresh_token.as_str();
    assert_eq!(known("sam", device, refresh).await, Some(device));
    assert_eq!(known("alex", device, refresh).await, None, "somebody else's device");
    assert_eq!(known("sam", DeviceId::from_bytes([9; 16]), refresh).await, None, "another device");
    // Another last character but one: those of the last carry fewer bits.
    let at = refresh.len() - 2;
    let other = if refresh.as_bytes()[at] == b'A' { "B" } else { "A" };
    let forged = format!("{}{other}{}", &refresh[..at], &refresh[at + 1..]);
    assert_eq!(known("sam", device, &forged).await, None, "no token of this sign-in");
    bench.auth.refresh(refresh).await.unwrap();
    assert_eq!(known("sam", device, refresh).await, Some(device), "also one that was used");
    bench.auth.change(Actor::Cli, move |accounts, now| accounts.revoke_device(device, now)).await.unwrap();
    assert_eq!(known("sam", device, refresh).await, None, "revoked");
    assert_eq!(bench.auth.resume(&session), Err(CloseCode::Revoked), "and so is its session");
}

#[tokio::test]
async fn signing_in_gives_tokens_that_verify() {
    let bench = bench().await;
    let tokens = sign_in(&bench.auth, "right password", None).await.unwrap();
    let principal = bench.auth.verify(&tokens.access_token).unwrap();
    assert_eq!((principal.user, principal.device, principal.admin), (SAM, tokens.device, false));
    assert!(!principal.scopes.contains(&Scope::Admin) && principal.scopes.contains(&Scope::Floor));
    assert!(bench.auth.is_current(&principal));
    let again = sign_in(&bench.auth, "right password", Some(tokens.device)).await.unwrap();
    assert_eq!(again.device, tokens.device);
    assert!(bench.auth.verify(&tokens.access_token).unwrap_err().is(ProblemKind::Revoked), "the sign-in was replaced");
    assert!(bench.auth.verify(&again.access_token).is_ok());
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_login_look_the_same() {
    let bench = bench().await;
    let wrong = sign_in(&bench.auth, "wrong password", None).await.unwrap_err();
    let request = SignIn {
        login: "nobody".into(),
        password: "wrong password".into(),
        device_name: "phone".into(),
        device: None,
        earlier: None,
    };
    let unknown = bench.auth.sign_in(request, HERE).await.unwrap_err();
    assert!(wrong.is(ProblemKind::BadCredentials));
    assert_eq!(wrong, unknown);
}

#[tokio::test]
async fn refresh_tokens_rotate_and_reuse_ends_the_sign_in() {
    let bench = bench().await;
    let first = sign_in(&bench.auth, "right password", None).await.unwrap();
    let second = bench.auth.refresh(&first.refresh_token).await.unwrap();
    // The answer was lost: the same successor comes again, and it works.
    let repeated = bench.auth.refresh(&first.refresh_token).await.unwrap();
    assert_eq!(repeated.refresh_token, second.refresh_token);
    let third = bench.auth.refresh(&repeated.refresh_token).await.unwrap();
    assert!(bench.auth.verify(&third.access_token).is_ok());
    let mut changes = bench.auth.changes();
    changes.mark_unchanged();
    assert!(bench.auth.refresh(&first.refresh_token).await.unwrap_err().is(ProblemKind::Revoked), "two steps old");
    assert!(changes.has_changed().unwrap());
    for token in [&first, &second, &third] {
        assert!(bench.auth.verify(&token.access_token).unwrap_err().is(ProblemKind::Revoked));
        assert!(bench.auth.refresh(&token.refresh_token).await.unwrap_err().is(ProblemKind::Revoked));
    }
    assert!(sign_in(&bench.auth, "right password", Some(first.device)).await.is_ok(), "the device may sign in again");
}

#[tokio::test]
async fn tokens_survive_a_restart() {
    let bench = bench().await;
    let tokens = sign_in(&bench.auth, "right password", None).await.unwrap();
    let restarted = open(&bench.store).await;
    assert_eq!(restarted.verify(&tokens.access_token).unwrap().device, tokens.device);
    assert!(restarted.refresh(&tokens.refresh_token).await.is_ok());
}

#[tokio::test]
async fn what_another_process_changes_is_noticed() {
    let bench = bench().await;
    let tokens = sign_in(&bench.auth, "right password", None).await.unwrap();
    let principal = bench.auth.verify(&tokens.access_token).unwrap();
    let stop = CancellationToken::new();
    let watching = tokio::spawn(bench.auth.clone().watch(stop.clone()));
    let mut changes = bench.auth.changes();
    changes.mark_unchanged();

    // Its own connection to the same files, as `hollerd` on the command line has.
    let other = Store::open(bench.dir.path(), bench.ring.clone(), Arc::new(NoHooks)).unwrap();
    let vault = other.vault().clone();
    let began = std::time::Instant::now();
    other
        .write(move |db| {
            let accounts = Accounts::open(db, &vault, WORKSPACE)?.acting(Actor::Cli, UnixMs(2));
            accounts.set_member(ROOM, SAM, Role::Dispatcher, UnixMs(2))
        })
        .await
        .unwrap();
    changes.changed().await.unwrap();
    assert_eq!(bench.auth.role_in(ROOM, SAM), Some(Role::Dispatcher));
    let vault = other.vault().clone();
    let device = tokens.device;
    other
        .write(move |db| {
            Accounts::open(db, &vault, WORKSPACE)?.acting(Actor::Cli, UnixMs(3)).revoke_device(device, UnixMs(3))
        })
        .await
        .unwrap();
    changes.changed().await.unwrap();
    assert!(!bench.auth.is_current(&principal));
    assert!(bench.auth.verify(&tokens.access_token).unwrap_err().is(ProblemKind::Revoked));
    eprintln!("two changes by another process were noticed within {:?}", began.elapsed());
    stop.cancel();
    watching.await.unwrap();
}

#[tokio::test]
async fn a_script_token_has_its_scopes_and_ends_with_its_device() {
    let bench = bench().await;
    let (device, token) =
        bench.auth.script_token(Actor::Cli, SAM, "backup".into(), vec![Scope::Messages], 30).await.unwrap();
    let principal = bench.auth.verify(&token).unwrap();
    assert_eq!((principal.scopes, principal.sign_in), (vec![Scope::Messages], None));
    bench.auth.change(Actor::Cli, move |accounts, now| accounts.revoke_device(device, now)).await.unwrap();
    assert!(bench.auth.verify(&token).unwrap_err().is(ProblemKind::Revoked));
    assert!(
        bench
            .auth
            .script_token(Actor::Cli, SAM, "x".into(), vec![], 367)
            .await
            .unwrap_err()
            .is(ProblemKind::OutOfBounds)
    );
}

#[tokio::test]
async fn a_roster_is_not_read_while_a_sign_in_is_being_stored() {
    let bench = bench().await;
    // The writer is busy: the sign-in that follows waits for it, with its device not yet in the database.
    let (let_go, held) = std::sync::mpsc::channel::<()>();
    let store = bench.store.clone();
    let writing = tokio::spawn(async move {
        store
            .write(move |_| {
                let _ = held.recv();
                Ok::<_, StoreError>(())
            })
            .await
    });
    let auth = bench.auth.clone();
    let signing_in = tokio::spawn(async move { sign_in(&auth, "right password", None).await });
    let began = std::time::Instant::now();
    while bench.auth.0.gate.try_write().is_ok() {
        assert!(began.elapsed() < Duration::from_secs(10), "the sign-in does not keep reloads out");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // So this reload comes after it, and knows its device.
    let auth = bench.auth.clone();
    let reloading = tokio::spawn(async move { auth.reload(None).await });
    let_go.send(()).unwrap();
    writing.await.unwrap().unwrap();
    let tokens = signing_in.await.unwrap().unwrap();
    reloading.await.unwrap().unwrap();
    bench.auth.verify(&tokens.access_token).unwrap();
}
