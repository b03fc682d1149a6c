use super::*;

const USER: UserId = UserId::from_bytes([9; 16]);
/// What a socket without a promise may be silent for.
const LEASE: Duration = Duration::from_secs(40);

fn device(n: u8) -> DeviceId {
    DeviceId::from_bytes([n; 16])
}

fn at(s: u64) -> Mono {
    Mono(s * 1_000_000)
}

fn here(playing: &mut Playing, now: Mono, n: u8, used_ago_s: u64) {
    let used_ago = Duration::from_secs(used_ago_s);
    let (device, connection) = (device(n), u64::from(n));
    playing.handle(now, Input::Here { user: USER, device, connection, used_ago, lease: LEASE });
}

fn heard(playing: &mut Playing, now: Mono, n: u8) {
    playing.handle(now, Input::Heard { user: USER, connection: u64::from(n), at: now, lease: LEASE });
}

fn gone(playing: &mut Playing, now: Mono, n: u8) {
    playing.handle(now, Input::Gone { user: USER, connection: u64::from(n) });
}

/// How long ago the last sign of life was of the one that played before, as each was told, s.
fn last_sign(playing: &mut Playing) -> Vec<(u64, Option<u64>)> {
    let told = core::iter::from_fn(|| playing.poll_output());
    told.map(|tell| (tell.connection, tell.last_sign.map(|ago| ago.as_secs()))).collect()
}

/// What was told: to whom, who plays, among how many.
fn told(playing: &mut Playing) -> Vec<(u64, u8, u32)> {
    core::iter::from_fn(|| playing.poll_output())
        .map(|tell| (tell.connection, tell.device.bytes()[0], tell.among))
        .collect()
}

#[test]
fn the_one_that_was_used_last_plays_and_everyone_is_told_once() {
    let mut playing = Playing::default();
    here(&mut playing, at(1_000), 1, 0);
    assert_eq!(told(&mut playing), [(1, 1, 1)], "alone it plays, and knows that it was understood");
    here(&mut playing, at(1_001), 2, 60);
    assert_eq!(told(&mut playing), [(1, 1, 2), (2, 1, 2)]);
    here(&mut playing, at(1_002), 2, 0);
    assert_eq!(told(&mut playing), [(1, 2, 2), (2, 2, 2)]);
    here(&mut playing, at(1_003), 2, 0);
    assert_eq!(told(&mut playing), [], "nothing changed");
    // Said before the machine's clock began: still an order.
    let mut playing = Playing::default();
    here(&mut playing, at(1), 1, 500);
    here(&mut playing, at(1), 2, 400);
    assert_eq!(told(&mut playing).last(), Some(&(2, 2, 2)));
}

#[test]
fn when_the_one_that_plays_goes_the_last_used_of_the_others_does() {
    let mut playing = Playing::default();
    for (n, ago) in [(1, 30), (2, 20), (3, 10)] {
        here(&mut playing, at(1_000), n, ago);
    }
    told(&mut playing);
    gone(&mut playing, at(1_001), 3);
    assert_eq!(told(&mut playing), [(1, 2, 2), (2, 2, 2)]);
    gone(&mut playing, at(1_002), 1);
    assert_eq!(told(&mut playing), [(2, 2, 1)]);
    gone(&mut playing, at(1_003), 2);
    assert_eq!((told(&mut playing), playing.poll_timeout()), (vec![], None));
    assert!(playing.people.is_empty() && playing.timers.is_empty(), "nothing is left");
}

#[test]
fn a_device_that_is_late_is_passed_over_within_twenty_seconds_and_counts_again_when_it_is_back() {
    let mut playing = Playing::default();
    here(&mut playing, at(100), 1, 0);
    assert_eq!(playing.poll_timeout(), None, "nobody relies on it");
    here(&mut playing, at(100), 2, 60);
    told(&mut playing);
    let late = playing.poll_timeout().unwrap();
    assert_eq!(late, at(120));
    assert_eq!(playing.asks(late, None), [(USER, 1), (USER, 2)]);
    heard(&mut playing, at(119), 2);
    playing.handle(late, Input::Timeout);
    assert_eq!(told(&mut playing), [(1, 2, 2), (2, 2, 2)], "the other one plays");
    // It is looked at again each second, and plays again when it is heard.
    assert_eq!(playing.poll_timeout(), Some(at(121)));
    playing.handle(at(121), Input::Timeout);
    assert_eq!(told(&mut playing), []);
    heard(&mut playing, at(122), 1);
    playing.handle(at(122), Input::Timeout);
    assert_eq!(told(&mut playing), [(1, 1, 2), (2, 1, 2)]);
}

#[test]
fn the_one_that_plays_is_told_how_long_ago_the_last_sign_of_the_one_before_it_was() {
    let mut playing = Playing::default();
    here(&mut playing, at(100), 1, 0);
    here(&mut playing, at(100), 2, 60);
    assert_eq!(last_sign(&mut playing), [(1, None), (1, None), (2, None)], "the same one goes on");
    heard(&mut playing, at(103), 1);
    heard(&mut playing, at(110), 2);
    playing.handle(at(123), Input::Timeout);
    assert_eq!(last_sign(&mut playing), [(1, None), (2, Some(20))]);
    // Its socket was dead, too: it is told again on the new one.
    let again = Input::Here { user: USER, device: device(2), connection: 7, used_ago: Duration::ZERO, lease: LEASE };
    playing.handle(at(125), again);
    assert_eq!(last_sign(&mut playing), [(7, Some(22))]);
    gone(&mut playing, at(130), 1);
    assert_eq!(last_sign(&mut playing), [(7, Some(27))], "what was told before may not have got there");
    here(&mut playing, at(131), 3, 0);
    assert_eq!(last_sign(&mut playing), [(7, None), (3, Some(6))], "another one was used");
    gone(&mut playing, at(140), 3);
    assert_eq!(last_sign(&mut playing), [(7, Some(9))], "its socket ended");
}

#[test]
fn a_new_socket_of_a_device_takes_the_place_of_the_old_one_and_is_told_anew() {
    let mut playing = Playing::default();
    here(&mut playing, at(10), 1, 5);
    here(&mut playing, at(10), 2, 0);
    told(&mut playing);
    let again = Input::Here { user: USER, device: device(2), connection: 7, used_ago: Duration::ZERO, lease: LEASE };
    playing.handle(at(11), again);
    assert_eq!(told(&mut playing), [(7, 2, 2)]);
    here(&mut playing, at(12), 2, 0);
    gone(&mut playing, at(12), 2);
    assert_eq!(told(&mut playing), [], "the old one and its end say nothing");
}

/// However devices come, are used, fall silent and go: somebody who is heard from is always told to play, or was told nothing.
#[test]
fn there_are_never_two_silent_devices() {
    use proptest::prelude::*;
    proptest!(|(steps in proptest::collection::vec((0_u8..4, 0_u8..5, 0_u64..25), 1..80))| {
        let mut playing = Playing::default();
        let (mut now, mut open) = (at(100), BTreeMap::<u8, (bool, Option<u8>)>::new());
        for (deed, n, wait) in steps {
            let until = now + Duration::from_secs(wait);
            while now < until {
                now = now + Duration::from_secs(1);
                // Who is alive is heard all the time.
                for (_, connection) in playing.asks(now, None) {
                    let n = u8::try_from(connection).unwrap();
                    if open.get(&n).is_some_and(|(alive, _)| *alive) {
                        heard(&mut playing, now, n);
                    }
                }
                playing.handle(now, Input::Timeout);
            }
            match deed {
                0 => {
                    here(&mut playing, now, n, 0);
                    open.entry(n).or_insert((true, None)).0 = true;
                }
                1 => {
                    gone(&mut playing, now, n);
                    open.remove(&n);
                }
                // Its network is gone without a word, or back.
                _ => {
                    if let Some((alive, _)) = open.get_mut(&n) {
                        *alive = deed == 2;
                    }
                }
            }
            for (connection, plays, _) in told(&mut playing) {
                if let Some((_, told)) = open.get_mut(&u8::try_from(connection).unwrap()) {
                    *told = Some(plays);
                }
            }
            // What was alive until a moment ago may be relied on until it is late.
            let late = now + Duration::from_secs(21);
            let mut then = now;
            while then < late {
                then = then + Duration::from_secs(1);
                for (n, (alive, _)) in &open {
                    if *alive {
                        heard(&mut playing, then, *n);
                    }
                }
                playing.handle(then, Input::Timeout);
            }
            now = late;
            for (connection, plays, _) in told(&mut playing) {
                if let Some((_, told)) = open.get_mut(&u8::try_from(connection).unwrap()) {
                    *told = Some(plays);
                }
            }
            let alive: Vec<_> = open.iter().filter(|(_, (alive, _))| *alive).collect();
            let plays = alive.iter().filter(|(n, (_, told))| told.is_none_or(|plays| plays == **n)).count();
            prop_assert!(alive.is_empty() || plays == 1, "{open:?}");
        }
    });
}
