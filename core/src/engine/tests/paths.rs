//! Live voice by datagrams, over paths that lose much or die.

use super::world::{World, distinct};
use super::*;

const PATHS: &[PathKind] = &[PathKind::SealedUdp];

fn burst(n: u8) -> BurstId {
    BurstId::from_bytes([n; 16])
}

/// Three who follow one room, are connected, and have a path.
fn three(seed: u64) -> World {
    let mut world = World::with_paths(seed, 3, PATHS);
    for peer in 0..3 {
        world.follow(peer);
    }
    world.pass(ms(1_000));
    world
}

fn speak(world: &mut World, peer: usize, n: u8, for_ms: u64) {
    world.key_down(peer, burst(n), false);
    world.pass(ms(for_ms));
    world.command(peer, Command::KeyUp);
}

/// How many frames of a burst each listener played.
fn played(world: &World, n: u8) -> [usize; 2] {
    [1, 2].map(|listener| world.peers[listener].played.get(&burst(n)).map_or(0, Vec::len))
}

#[test]
fn live_voice_travels_by_datagram_and_nothing_else_of_it_does() {
    let mut world = three(1);
    assert!(world.peers.iter().all(|peer| peer.engine.voice_path().is_some_and(|path| path.up)));
    speak(&mut world, 0, 1, 3_000);
    world.pass(ms(2_000));
    let spoken = world.peers[0].kept[&burst(1)].len();
    for listener in [1, 2] {
        assert!(world.has_whole(listener, 0, burst(1)));
        assert!(distinct(&world.peers[listener].played[&burst(1)]));
    }
    assert_eq!(played(&world, 1), [spoken; 2]);
    assert!(world.by_datagram[0] >= spoken - 5 && world.by_datagram[1] >= 2 * spoken - 10, "{:?}", world.by_datagram);
    // At the beginning both ways, until the first report; at the end what was not reported yet.
    assert!(world.by_socket <= 60, "{} frames over the socket", world.by_socket);
    assert_eq!(world.talk_states(0, burst(1)).last(), Some(&TalkState::Delivered));
}

#[test]
fn a_client_without_paths_asks_for_none() {
    let mut world = World::new(1, 1);
    world.follow(0);
    world.pass(ms(1_000));
    assert!(world.peers[0].engine.voice_path().is_none());
    assert!(!world.peers[0].notices.iter().any(|(_, notice)| matches!(notice, Notice::VoicePath { .. })));
}

#[test]
fn a_fifth_lost_is_hardly_heard() {
    let mut world = three(2);
    world.datagrams_lost = [200; 2];
    speak(&mut world, 0, 1, 2_000);
    world.pass(ms(3_000));
    speak(&mut world, 0, 2, 4_000);
    world.pass(ms(5_000));
    let spoken = world.peers[0].kept[&burst(2)].len();
    for (listener, heard) in [1, 2].into_iter().zip(played(&world, 2)) {
        assert!(heard * 100 >= spoken * 95, "{heard} of {spoken} played live");
        for n in [1, 2] {
            assert!(world.has_whole(listener, 0, burst(n)), "and all of it is there afterwards");
        }
    }
}

#[test]
fn a_path_that_dies_in_the_middle_of_a_burst_costs_nobody_a_frame() {
    for way in 0..2 {
        let mut world = three(3);
        world.key_down(0, burst(1), false);
        world.pass(ms(2_000));
        world.datagrams_lost[way] = 1_000;
        world.pass(ms(6_000));
        world.command(0, Command::KeyUp);
        world.pass(ms(2_000));
        let spoken = world.peers[0].kept[&burst(1)].len();
        for (listener, heard) in [1, 2].into_iter().zip(played(&world, 1)) {
            assert!(world.has_whole(listener, 0, burst(1)));
            assert!(heard + 20 >= spoken, "way {way}: {heard} of {spoken} played live");
        }
        assert_eq!(world.talk_states(0, burst(1)).last(), Some(&TalkState::Delivered));
    }
}

#[test]
fn where_udp_is_blocked_the_socket_carries_all() {
    let mut world = World::with_paths(4, 3, PATHS);
    world.datagrams_lost = [1_000; 2];
    for peer in 0..3 {
        world.follow(peer);
    }
    world.pass(ms(1_000));
    speak(&mut world, 0, 1, 3_000);
    world.pass(ms(2_000));
    let spoken = world.peers[0].kept[&burst(1)].len();
    assert_eq!(played(&world, 1), [spoken; 2]);
    assert_eq!(world.by_datagram, [0; 2]);
    assert!(world.peers.iter().all(|peer| peer.engine.voice_path().is_some_and(|path| !path.up)));
}

#[test]
fn a_path_comes_back_with_the_connection_and_after_one_that_failed() {
    let mut world = three(5);
    world.set_offline(0, true);
    world.pass(ms(3_000));
    assert!(world.peers[0].engine.voice_path().is_none(), "it ends with its socket");
    world.set_offline(0, false);
    world.pass(ms(3_000));
    assert!(world.peers[0].engine.voice_path().is_some_and(|path| path.up));
    let link = world.peers[0].engine.link.session().map(|session| session.link).expect("it is connected");
    world.input(0, Input::PathFailed { link, detail: "the socket is gone".into() });
    assert!(world.peers[0].engine.voice_path().is_none());
    speak(&mut world, 0, 1, 1_000);
    world.pass(ms(2_000));
    assert!(world.has_whole(1, 0, burst(1)), "the socket carries meanwhile");
    assert!(world.peers[0].engine.voice_path().is_some_and(|path| path.up), "another one was asked for meanwhile");
}

/// As in a browser whose session ends while UDP is dead: others are asked for until one carries, often at first.
#[test]
fn one_path_after_another_is_asked_for_where_one_carried_lately() {
    let mut world = three(7);
    let link = world.peers[0].engine.link.session().map(|session| session.link).expect("it is connected");
    let fails = |world: &mut World| world.input(0, Input::PathFailed { link, detail: "it timed out".into() });
    let waits = |world: &mut World| {
        let begun = world.now;
        while world.peers[0].engine.voice_path().is_none() {
            world.pass(ms(100));
        }
        world.now.since(begun)
    };
    fails(&mut world);
    world.datagrams_lost = [1_000; 2];
    for wanted in [2_000, 4_000, 4_000, 4_000] {
        let waited = waits(&mut world);
        assert!(waited >= ms(wanted) && waited <= ms(wanted + 1_000), "{waited:?}, wanted {wanted} ms");
        fails(&mut world);
    }
    // Where none has carried for long, ever less often; a change of the network is worth a try.
    waits(&mut world);
    world.pass(ms(300_000));
    for _ in 0..3 {
        fails(&mut world);
        assert!(waits(&mut world) >= ms(32_000));
    }
    fails(&mut world);
    world.input(0, Input::NetworkUp);
    assert!(waits(&mut world) <= ms(1_000));
    fails(&mut world);
    world.datagrams_lost = [0; 2];
    waits(&mut world);
    world.pass(ms(1_000));
    assert!(world.peers[0].engine.voice_path().is_some_and(|path| path.up));
}

#[test]
fn the_last_words_get_there_though_the_path_died_with_them() {
    let mut world = three(6);
    world.key_down(0, burst(1), false);
    world.pass(ms(2_000));
    world.datagrams_lost[0] = 1_000;
    world.pass(ms(200));
    world.command(0, Command::KeyUp);
    world.pass(ms(2_000));
    let spoken = world.peers[0].kept[&burst(1)].len();
    assert_eq!(played(&world, 1), [spoken; 2]);
    let repairs = world.talk_states(0, burst(1)).into_iter().filter(|s| matches!(s, TalkState::Repairing { .. }));
    assert_eq!(repairs.count(), 0, "they went over the socket before the end of the burst did");
}

/// On the way down nobody would complain: that the burst is over comes before the pause is noticed, and no later datagram repeats its last frames.
#[test]
fn the_last_words_get_to_those_who_listen_though_their_path_died_with_them() {
    for before in [20, 100, 150] {
        let mut world = three(8);
        world.key_down(0, burst(1), false);
        world.pass(ms(2_000));
        world.datagrams_lost[1] = 1_000;
        world.pass(ms(before));
        world.command(0, Command::KeyUp);
        world.pass(ms(2_000));
        let spoken = world.peers[0].kept[&burst(1)].len();
        assert_eq!(played(&world, 1), [spoken; 2], "dead {before} ms before the end");
    }
}

#[test]
fn the_very_last_datagrams_may_be_lost_alone() {
    let mut world = three(9);
    world.key_down(0, burst(1), false);
    world.pass(ms(2_000));
    world.command(0, Command::KeyUp);
    world.datagrams_lost[1] = 1_000;
    world.pass(ms(50));
    world.datagrams_lost[1] = 0;
    world.pass(ms(2_000));
    let spoken = world.peers[0].kept[&burst(1)].len();
    assert_eq!(played(&world, 1), [spoken; 2]);
}

#[test]
fn another_path_is_asked_for_before_the_counters_of_one_run_out() {
    let mut world = three(10);
    let link = world.peers[0].engine.link.session().map(|session| session.link).expect("it is connected");
    let received = |world: &mut World, counter| {
        world.input(0, Input::Datagram { link, counter, inner: Bytes::from_static(&[6; 17]) });
        world.peers[0].engine.voice_path().is_some()
    };
    assert!(received(&mut world, 1_000_000_000));
    assert!(!received(&mut world, u32::MAX - 1_000));
    world.pass(ms(3_000));
    assert!(world.peers[0].engine.voice_path().is_some_and(|path| path.up), "a new one");
}
