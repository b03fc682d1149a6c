//! Directed tests.

use super::*;

const TERM: u32 = 3;

fn token(counter: u32) -> FloorToken {
    FloorToken { term: TERM, counter }
}

#[test]
fn an_idle_floor_is_granted_at_once_and_given_back() {
    let mut bench = Bench::new();
    let said = bench.ask(0, Request { spoken_ago: Duration::from_millis(120), ..ask(1, Priority::Normal) });
    let taken = FloorState::Taken {
        token: token(1),
        user: user(1),
        device: device(1),
        priority: Priority::Normal,
        header: header(1),
        since_ms: 0,
    };
    let expected = [
        Output::Outcome {
            device: device(1),
            request: RequestId(1),
            priority: Priority::Normal,
            outcome: Outcome::Immediate,
            wait: Duration::ZERO,
        },
        Output::Granted {
            device: device(1),
            user: user(1),
            request: RequestId(1),
            token: token(1),
            priority: Priority::Normal,
            header: header(1),
            spoken_ago: Duration::from_millis(120),
            until: Some(limits::TALK_LIMIT),
            again: false,
        },
        Output::Changed(taken),
    ];
    assert_eq!(said, expected);
    assert!(bench.floor.accepts(at_ms(1), device(1), token(1)));
    assert!(!bench.floor.accepts(at_ms(1), device(2), token(1)), "another device under this token");
    assert!(!bench.floor.accepts(at_ms(1), device(1), token(0)), "an older token");
    assert!(!bench.floor.accepts(at_ms(1), device(1), token(2)), "a token never granted");

    let said = bench.at(1_000, Input::Release { device: device(1), request: RequestId(1) });
    assert_eq!(said, [Output::Changed(FloorState::Idle { token: token(1) })]);
    assert!(!bench.floor.accepts(at_ms(1_000), device(1), token(1)));
    assert_eq!(bench.floor.poll_timeout(), None);
}

#[test]
fn the_state_carries_its_age() {
    let mut bench = Bench::new();
    bench.ask(0, ask(1, Priority::Normal));
    assert!(matches!(bench.floor.state(at_ms(700)), FloorState::Taken { since_ms: 700, .. }));
}

#[test]
fn only_the_live_request_can_be_released() {
    let mut bench = Bench::new();
    bench.ask(0, ask(1, Priority::Normal));
    bench.ask(0, ask(2, Priority::Normal));
    assert_eq!(bench.at(1, Input::Release { device: device(1), request: RequestId(9) }), []);
    assert_eq!(bench.at(1, Input::Release { device: device(2), request: RequestId(9) }), []);
    assert_eq!(bench.at(1, Input::Release { device: device(3), request: RequestId(1) }), []);
    assert_eq!((bench.holder(), bench.waiting()), (Some(device(1)), vec![device(2)]));
}

#[test]
fn the_end_of_a_burst_gives_up_its_floor_or_its_place() {
    let mut bench = Bench::new();
    for n in 1..=3 {
        bench.ask(0, ask(n, Priority::Normal));
    }
    assert_eq!(bench.at(5, Input::Ended { device: device(1), burst: burst(7) }), [], "another burst");
    assert_eq!(bench.at(5, Input::Ended { device: device(7), burst: burst(1) }), [], "another device");
    let said = bench.at(10, Input::Ended { device: device(2), burst: burst(2) });
    assert_eq!(outcomes(&said), [(device(2), Outcome::Abandoned, 10)]);
    let said = bench.at(20, Input::Ended { device: device(1), burst: burst(1) });
    assert_eq!(outcomes(&said), [(device(3), Outcome::Queued, 20)]);
    assert_eq!(bench.holder(), Some(device(3)));
}

#[test]
fn listeners_may_not_talk_and_talkers_not_as_dispatchers() {
    let mut bench = Bench::new();
    let cases = [
        (Role::Listener, Priority::Normal, false),
        (Role::Listener, Priority::Emergency, false),
        (Role::Talker, Priority::Normal, true),
        (Role::Talker, Priority::Elevated, true),
        (Role::Talker, Priority::Dispatcher, false),
        (Role::Talker, Priority::Emergency, true),
        (Role::Dispatcher, Priority::Dispatcher, true),
    ];
    for (n, (role, priority, allowed)) in (1..).zip(cases) {
        let said = bench.ask(0, Request { role, ..ask(n, priority) });
        let expected = if allowed { vec![] } else { vec![(device(n), RequestId(n.into()), DenyReason::NotAllowed)] };
        assert_eq!(denied(&said), expected, "{role} at {priority}");
        assert_eq!(granted(&said).len(), usize::from(allowed), "{role} at {priority}");
        bench.at(0, Input::Release { device: device(n), request: RequestId(n.into()) });
    }
    assert_eq!(bench.floor.emergencies(), [user(6)], "a listener raises no emergency");
}

#[test]
fn a_role_taken_away_takes_the_floor_and_the_place() {
    let mut bench = Bench::new();
    bench.ask(0, ask(1, Priority::Dispatcher));
    bench.ask(0, ask(2, Priority::Dispatcher));
    bench.ask(0, ask(3, Priority::Normal));
    assert_eq!(bench.at(1, Input::RoleChanged { user: user(1), role: Some(Role::Admin) }), []);
    assert_eq!(bench.at(1, Input::RoleChanged { user: user(3), role: Some(Role::Talker) }), []);
    let said = bench.at(2, Input::RoleChanged { user: user(2), role: Some(Role::Talker) });
    assert_eq!(denied(&said), [(device(2), RequestId(2), DenyReason::NotAllowed)]);
    assert_eq!(outcomes(&said), [(device(2), Outcome::Denied, 2)]);
    let said = bench.at(3, Input::RoleChanged { user: user(1), role: None });
    assert_eq!(revoked(&said), [(device(1), token(1), RevokeReason::NotAllowed)]);
    assert_eq!(bench.holder(), Some(device(3)));
}

#[test]
fn only_strictly_more_weight_pre_empts() {
    for (n, priority) in (1..).zip(Priority::ALL.iter().copied()) {
        for (m, other) in (11..).zip(Priority::ALL.iter().copied()) {
            let mut bench = Bench::new();
            bench.ask(0, ask(n, priority));
            let said = bench.ask(5, ask(m, other));
            if other > priority {
                assert_eq!(revoked(&said), [(device(n), token(1), RevokeReason::Preempted)], "{priority} {other}");
                assert_eq!(outcomes(&said), [(device(m), Outcome::Immediate, 0)]);
                assert!(!bench.floor.accepts(at_ms(5), device(n), token(1)));
                assert!(bench.floor.accepts(at_ms(5), device(m), token(2)));
                assert_eq!(changed(&said).len(), 1, "everybody is told once");
            } else {
                assert_eq!(queued(&said), [(device(m), RequestId(m.into()), 1, 1)]);
                assert!(revoked(&said).is_empty());
                assert_eq!(bench.holder(), Some(device(n)));
            }
        }
    }
}

#[test]
fn one_who_would_not_wait_is_told_busy_except_in_an_emergency() {
    let mut bench = Bench::new();
    bench.ask(0, ask(1, Priority::Emergency));
    let said = bench.ask(0, Request { queue: false, ..ask(2, Priority::Dispatcher) });
    assert_eq!(denied(&said), [(device(2), RequestId(2), DenyReason::Busy)]);
    assert_eq!(outcomes(&said), [(device(2), Outcome::Denied, 0)]);
    let said = bench.ask(0, Request { queue: false, ..ask(3, Priority::Emergency) });
    assert_eq!(queued(&said), [(device(3), RequestId(3), 1, 1)]);
    assert_eq!(bench.holder(), Some(device(1)), "of two emergencies the later waits");
}

#[test]
fn the_queue_goes_by_priority_then_arrival_and_tells_each_move() {
    let mut bench = Bench::new();
    bench.ask(0, ask(1, Priority::Emergency));
    assert_eq!(queued(&bench.ask(0, ask(2, Priority::Normal))), [(device(2), RequestId(2), 1, 1)]);
    assert_eq!(queued(&bench.ask(0, ask(3, Priority::Normal))), [(device(3), RequestId(3), 2, 2)]);
    let said = bench.ask(0, ask(4, Priority::Elevated));
    assert_eq!(
        queued(&said),
        [(device(4), RequestId(4), 1, 3), (device(2), RequestId(2), 2, 3), (device(3), RequestId(3), 3, 3)]
    );
    bench.ask(0, ask(5, Priority::Elevated));
    assert_eq!(bench.waiting(), [4, 5, 2, 3].map(device));
    let said = bench.at(30, Input::Release { device: device(1), request: RequestId(1) });
    assert_eq!(outcomes(&said), [(device(4), Outcome::Queued, 30)]);
    assert_eq!(
        queued(&said),
        [(device(5), RequestId(5), 1, 3), (device(2), RequestId(2), 2, 3), (device(3), RequestId(3), 3, 3)]
    );
}

#[test]
fn a_full_queue_refuses_unless_the_last_is_outweighed() {
    let mut bench = Bench::with(Config { queue_max: 2, ..Config::default() });
    bench.ask(0, ask(1, Priority::Emergency));
    bench.ask(0, ask(2, Priority::Normal));
    bench.ask(0, ask(3, Priority::Elevated));
    let said = bench.ask(7, ask(4, Priority::Normal));
    assert_eq!(denied(&said), [(device(4), RequestId(4), DenyReason::QueueFull)]);
    let said = bench.ask(8, ask(5, Priority::Elevated));
    assert_eq!(denied(&said), [(device(2), RequestId(2), DenyReason::QueueFull)]);
    assert_eq!(outcomes(&said), [(device(2), Outcome::Denied, 8)]);
    assert_eq!(bench.waiting(), [3, 5].map(device));
}

#[test]
fn the_queue_is_bounded_by_default() {
    let mut bench = Bench::new();
    for n in 0..=64 {
        bench.ask(0, ask(n, Priority::Normal));
    }
    assert_eq!(bench.waiting().len(), limits::FLOOR_QUEUE_MAX);
    assert_eq!(denied(&bench.ask(0, ask(65, Priority::Normal))), [(device(65), RequestId(65), DenyReason::QueueFull)]);
}

#[test]
fn a_wait_that_is_too_long_ends() {
    let mut bench = Bench::with(Config { talk_limit: Duration::from_secs(300), ..Config::default() });
    bench.ask(0, ask(1, Priority::Normal));
    bench.ask(100, ask(2, Priority::Normal));
    bench.ask(200, ask(3, Priority::Normal));
    let said = bench.run_until(60_150, true);
    let (at, said): (Vec<_>, Vec<_>) = said.into_iter().unzip();
    assert!(at.iter().all(|ms| *ms == 60_100));
    assert_eq!(denied(&said), [(device(2), RequestId(2), DenyReason::QueueExpired)]);
    assert_eq!(outcomes(&said), [(device(2), Outcome::Denied, 60_000)]);
    assert_eq!(queued(&said), [(device(3), RequestId(3), 1, 1)]);
}

#[test]
fn a_wait_that_is_over_is_not_granted_by_a_late_shell() {
    let mut bench = Bench::new();
    bench.ask(0, ask(1, Priority::Normal));
    bench.ask(0, ask(2, Priority::Normal));
    let said = bench.at(90_000, Input::Release { device: device(1), request: RequestId(1) });
    assert_eq!(denied(&said), [(device(2), RequestId(2), DenyReason::QueueExpired)]);
    assert_eq!(bench.holder(), None);
}

#[test]
fn the_talk_limit_comes_after_its_warning() {
    let mut bench = Bench::new();
    bench.ask(0, ask(1, Priority::Normal));
    let said = bench.run_until(120_000, true);
    let expected = [
        (50_000, Output::Warning { device: device(1), request: RequestId(1), remaining: limits::TALK_WARNING }),
        (
            60_000,
            Output::Revoked {
                device: device(1),
                request: RequestId(1),
                token: token(1),
                burst: burst(1),
                reason: RevokeReason::TalkLimit,
            },
        ),
        (60_000, Output::Changed(FloorState::Idle { token: token(1) })),
    ];
    assert_eq!(said, expected);
}

#[test]
fn a_limit_within_the_warning_has_none() {
    let mut bench = Bench::with(Config { talk_limit: Duration::from_secs(10), ..Config::default() });
    bench.ask(0, ask(1, Priority::Normal));
    let said: Vec<_> = bench.run_until(120_000, true).into_iter().map(|(_, output)| output).collect();
    assert_eq!(revoked(&said), [(device(1), token(1), RevokeReason::TalkLimit)]);
    assert!(!said.iter().any(|output| matches!(output, Output::Warning { .. })));
}

#[test]
fn a_warning_that_comes_too_late_is_not_told() {
    let mut bench = Bench::with(Config { holder_silence_max: Duration::from_secs(300), ..Config::default() });
    bench.ask(0, ask(1, Priority::Normal));
    let said = bench.at(60_000, Input::Timeout);
    assert!(!said.iter().any(|output| matches!(output, Output::Warning { .. })));
    assert_eq!(revoked(&said), [(device(1), token(1), RevokeReason::TalkLimit)]);
}

#[test]
fn a_changed_talk_limit_holds_from_the_next_grant_on() {
    let mut bench = Bench::new();
    bench.ask(0, ask(1, Priority::Normal));
    bench.at(10, Input::TalkLimit { limit: Duration::from_secs(20) });
    let said = bench.run_until(60_000, true);
    assert!(said.iter().all(|(ms, _)| *ms >= 50_000), "who talks keeps what it was told");
    let said = bench.ask(60_100, ask(2, Priority::Normal));
    let until: Vec<_> = granted(&said).into_iter().map(|(.., until, _)| until).collect();
    assert_eq!(until, [Some(Duration::from_secs(20))]);
    let ends: Vec<_> = bench.run_until(90_000, true).into_iter().map(|(ms, _)| ms).collect();
    assert_eq!((ends.first(), ends.last()), (Some(&70_100), Some(&80_100)), "the warning, then the limit");
}

#[test]
fn an_emergency_has_no_talk_limit_unless_configured() {
    let mut bench = Bench::new();
    assert_eq!(granted(&bench.ask(0, ask(1, Priority::Emergency)))[0].3, None);
    assert_eq!(bench.run_until(3_600_000, true), []);
    assert_eq!(bench.holder(), Some(device(1)));

    let limit = Some(Duration::from_secs(90));
    let mut bench = Bench::with(Config { emergency_talk_limit: limit, ..Config::default() });
    assert_eq!(granted(&bench.ask(0, ask(1, Priority::Emergency)))[0].3, limit);
    bench.run_until(89_999, true);
    assert_eq!(bench.holder(), Some(device(1)));
    bench.run_until(90_000, true);
    assert_eq!(bench.holder(), None);
}

#[test]
fn a_silent_holder_loses_the_floor() {
    let mut bench = Bench::new();
    bench.ask(0, ask(1, Priority::Normal));
    bench.ask(0, ask(2, Priority::Normal));
    bench.at(500, Input::Heard { device: device(2) });
    bench.at(1_500, Input::Heard { device: device(1) });
    let said = bench.run_until(3_499, false);
    assert_eq!((said, bench.holder()), (vec![], Some(device(1))));
    let said: Vec<_> = bench.run_until(3_500, false).into_iter().map(|(_, output)| output).collect();
    assert_eq!(revoked(&said), [(device(1), token(1), RevokeReason::LinkLost)]);
    assert_eq!(bench.holder(), Some(device(2)));
}

#[test]
fn a_device_that_is_gone_loses_its_place_but_not_at_once_its_floor() {
    let mut bench = Bench::new();
    bench.ask(0, ask(1, Priority::Normal));
    bench.ask(0, ask(2, Priority::Normal));
    assert_eq!(outcomes(&bench.at(100, Input::Gone { device: device(2) })), [(device(2), Outcome::Failed, 100)]);
    assert_eq!(bench.at(100, Input::Gone { device: device(1) }), []);
    assert_eq!((bench.holder(), bench.waiting()), (Some(device(1)), vec![]));

    // It is back within 2 s, with request numbers that begin anew, and asks for the same burst.
    let said = bench.ask(1_900, Request { request: RequestId(77), ..ask(1, Priority::Normal) });
    let left = Some(limits::TALK_LIMIT - Duration::from_millis(1_900));
    assert_eq!(granted(&said), [(device(1), RequestId(77), token(1), left, true)]);
    assert_eq!(outcomes(&said), [], "it was counted when it was granted");
    bench.run_until(3_899, false);
    assert_eq!(bench.holder(), Some(device(1)), "asking again is a sign of life");
    let said = bench.at(3_899, Input::Release { device: device(1), request: RequestId(77) });
    assert_eq!(changed(&said).len(), 1);
}

#[test]
fn asking_again_keeps_the_place() {
    let mut bench = Bench::new();
    for n in 1..=3 {
        bench.ask(0, ask(n, Priority::Normal));
    }
    let said = bench.ask(10, Request { request: RequestId(50), ..ask(2, Priority::Normal) });
    assert_eq!(said, [Output::Queued { device: device(2), request: RequestId(50), position: 1, waiting: 2 }]);
    assert_eq!(bench.waiting(), [2, 3].map(device));
    let said = bench.at(20, Input::Release { device: device(1), request: RequestId(1) });
    assert_eq!(outcomes(&said), [(device(2), Outcome::Queued, 20)], "the wait counts from the first time it asked");
    assert_eq!(granted(&said)[0].1, RequestId(50));
}

#[test]
fn an_ended_request_gets_the_same_answer_and_is_not_counted_twice() {
    let mut bench = Bench::new();
    bench.ask(0, ask(1, Priority::Normal));
    let second = Request { queue: false, ..ask(2, Priority::Normal) };
    let first_time = bench.ask(0, second);
    bench.at(1, Input::Release { device: device(1), request: RequestId(1) });
    let said = bench.ask(2, second);
    assert_eq!(denied(&said), denied(&first_time));
    assert_eq!((outcomes(&said), bench.holder()), (vec![], None));

    bench.ask(10, ask(3, Priority::Normal));
    let said = bench.ask(20, ask(4, Priority::Emergency));
    assert_eq!(revoked(&said), [(device(3), token(2), RevokeReason::Preempted)]);
    let said = bench.ask(30, ask(3, Priority::Normal));
    assert_eq!(revoked(&said), [(device(3), token(2), RevokeReason::Preempted)]);
    assert_eq!((outcomes(&said), bench.waiting()), (vec![], vec![]));

    bench.ask(31, Request { request: RequestId(8), header: header(8), ..ask(2, Priority::Normal) });
    let said = bench.ask(32, second);
    assert_eq!(denied(&said), denied(&first_time), "an old request does not replace a newer one");
    assert_eq!(bench.waiting(), [device(2)]);
    bench.at(33, Input::Release { device: device(2), request: RequestId(8) });

    // Under another number, and on another socket, it is asked anew.
    bench.ask(40, Request { request: RequestId(9), ..ask(3, Priority::Normal) });
    assert_eq!(bench.waiting(), [device(3)]);
    bench.at(50, Input::Gone { device: device(2) });
    bench.ask(50, Request { queue: true, ..second });
    assert_eq!(bench.waiting(), [3, 2].map(device));
}

#[test]
fn a_newer_request_replaces_the_one_that_waits() {
    let mut bench = Bench::new();
    for n in 1..=3 {
        bench.ask(0, ask(n, Priority::Normal));
    }
    let newer = Request { request: RequestId(20), header: header(20), ..ask(2, Priority::Normal) };
    let said = bench.ask(40, newer);
    assert_eq!(outcomes(&said), [(device(2), Outcome::Abandoned, 40)]);
    assert_eq!(bench.waiting(), [3, 2].map(device));
    assert_eq!(
        queued(&said),
        [(device(3), RequestId(3), 1, 2), (device(2), RequestId(20), 2, 2)],
        "it waits from now on, behind those who waited before"
    );
}

#[test]
fn a_request_that_is_not_allowed_replaces_nothing() {
    let mut bench = Bench::new();
    bench.ask(0, ask(1, Priority::Normal));
    let said = bench.ask(1, Request { role: Role::Talker, request: RequestId(5), ..ask(1, Priority::Dispatcher) });
    assert_eq!(denied(&said), [(device(1), RequestId(5), DenyReason::NotAllowed)]);
    assert!(bench.floor.accepts(at_ms(1), device(1), token(1)));
}

#[test]
fn a_holder_who_raises_its_weight_goes_on_under_a_new_token() {
    let mut bench = Bench::new();
    bench.ask(0, ask(1, Priority::Normal));
    bench.ask(0, ask(2, Priority::Normal));
    let said = bench.ask(100, Request { request: RequestId(5), ..ask(1, Priority::Emergency) });
    assert_eq!(granted(&said), [(device(1), RequestId(5), token(2), None, false)]);
    assert_eq!((revoked(&said).len(), changed(&said).len()), (0, 1));
    assert_eq!(bench.waiting(), [device(2)]);
}

#[test]
fn a_holder_who_begins_another_burst_comes_after_those_who_waited() {
    let mut bench = Bench::new();
    bench.ask(0, ask(1, Priority::Normal));
    bench.ask(0, ask(2, Priority::Normal));
    let said = bench.ask(100, Request { request: RequestId(5), header: header(5), ..ask(1, Priority::Normal) });
    assert_eq!(outcomes(&said), [(device(2), Outcome::Queued, 100)]);
    assert_eq!((bench.holder(), bench.waiting()), (Some(device(2)), vec![device(1)]));
}

#[test]
fn draining_ends_everything_for_good() {
    let mut bench = Bench::new();
    bench.ask(0, ask(1, Priority::Normal));
    bench.ask(0, ask(2, Priority::Normal));
    let said = bench.at(10, Input::Drain);
    assert_eq!(revoked(&said), [(device(1), token(1), RevokeReason::HomeUnavailable)]);
    assert_eq!(denied(&said), [(device(2), RequestId(2), DenyReason::HomeUnavailable)]);
    assert_eq!(outcomes(&said), [(device(2), Outcome::Failed, 10)]);
    assert!(!bench.floor.accepts(at_ms(10), device(1), token(1)));
    bench.at(11, Input::Lease { until: Mono(u64::MAX) });
    let said = bench.ask(12, ask(3, Priority::Emergency));
    assert_eq!(outcomes(&said), [(device(3), Outcome::Failed, 0)]);
    assert_eq!(denied(&said), [(device(3), RequestId(3), DenyReason::HomeUnavailable)]);
    assert_eq!(bench.floor.emergencies(), [user(3)], "an emergency is raised even so");
}

#[test]
fn nothing_is_granted_or_accepted_from_the_end_of_the_lease_on() {
    let mut bench = Bench::new();
    bench.at(0, Input::Lease { until: at_ms(1_000) });
    bench.ask(0, ask(1, Priority::Normal));
    bench.ask(0, ask(2, Priority::Normal));
    bench.at(900, Input::Lease { until: at_ms(1_900) });
    assert!(bench.floor.accepts(at_ms(1_899), device(1), token(1)));
    assert!(!bench.floor.accepts(at_ms(1_900), device(1), token(1)), "even before the timer ran");
    let said = bench.ask(1_900, ask(3, Priority::Emergency));
    assert_eq!(revoked(&said), [(device(1), token(1), RevokeReason::HomeUnavailable)]);
    assert_eq!(outcomes(&said), [(device(2), Outcome::Failed, 1_900), (device(3), Outcome::Failed, 0)]);
    assert!(bench.floor.emergencies().is_empty(), "the room may have another home by now");
    assert_eq!(bench.floor.poll_timeout(), None);

    bench.at(2_500, Input::Lease { until: at_ms(2_400) });
    assert_eq!(outcomes(&bench.ask(2_500, ask(4, Priority::Normal)))[0].1, Outcome::Failed);
    bench.at(2_600, Input::Lease { until: at_ms(3_400) });
    assert_eq!(granted(&bench.ask(2_600, ask(5, Priority::Normal)))[0].2, token(2));
    let said = bench.at(2_700, Input::Lease { until: at_ms(2_700) });
    assert_eq!(revoked(&said), [(device(5), token(2), RevokeReason::HomeUnavailable)], "a lease can be cut short");
}

#[test]
fn a_term_whose_tokens_are_used_up_grants_no_more() {
    let mut bench = Bench::new();
    bench.floor.set_counter(u32::MAX - 1);
    bench.ask(0, ask(1, Priority::Normal));
    bench.ask(0, ask(2, Priority::Normal));
    bench.ask(0, ask(3, Priority::Normal));
    let said = bench.at(9, Input::Release { device: device(1), request: RequestId(1) });
    assert_eq!(outcomes(&said), [(device(2), Outcome::Failed, 9), (device(3), Outcome::Failed, 9)]);
    assert_eq!(outcomes(&bench.ask(10, ask(4, Priority::Normal))), [(device(4), Outcome::Failed, 0)]);
}

fn clear(by: u8, role: Role, raised_by: u8) -> Input {
    Input::ClearEmergency { device: device(by), request: RequestId(90), by: user(by), role, raised_by: user(raised_by) }
}

#[test]
fn an_emergency_is_raised_once_listed_and_cleared() {
    let mut bench = Bench::new();
    bench.ask(0, ask(1, Priority::Emergency));
    let said = bench.ask(1, Request { role: Role::Talker, ..ask(2, Priority::Emergency) });
    assert_eq!(
        said[..2],
        [
            Output::EmergencyRaised { user: user(2), device: device(2) },
            Output::Emergencies { to: None, raised_by: vec![user(1), user(2)] },
        ]
    );
    let again = Request { request: RequestId(30), header: header(30), ..ask(2, Priority::Emergency) };
    assert!(!bench.ask(2, again).iter().any(|output| matches!(output, Output::EmergencyRaised { .. })));

    let said = bench.at(3, clear(2, Role::Talker, 1));
    assert_eq!(said, [Output::ClearRefused { device: device(2), request: RequestId(90) }]);
    let said = bench.at(3, clear(9, Role::Dispatcher, 2));
    assert_eq!(
        said,
        [
            Output::EmergencyCleared { by: user(9), device: device(9), raised_by: user(2) },
            Output::Emergencies { to: None, raised_by: vec![user(1)] },
        ]
    );
    let said = bench.at(4, clear(9, Role::Dispatcher, 2));
    assert_eq!(said, [Output::Emergencies { to: Some(device(9)), raised_by: vec![user(1)] }], "cleared already");
    bench.at(5, clear(1, Role::Talker, 1));
    assert!(bench.floor.emergencies().is_empty());
}

#[test]
fn a_cleared_emergency_talks_on_with_normal_weight() {
    let mut bench = Bench::new();
    bench.ask(0, ask(1, Priority::Emergency));
    bench.ask(0, ask(2, Priority::Normal));
    let said = bench.at(100_000, Input::Heard { device: device(1) });
    assert!(revoked(&said).len() == 1, "silence, as the bench did not speak for it");

    let mut bench = Bench::new();
    bench.ask(0, ask(1, Priority::Emergency));
    bench.ask(0, ask(2, Priority::Normal));
    let said = bench.at(1_000, clear(1, Role::Talker, 1));
    assert_eq!(granted(&said), [(device(1), RequestId(1), token(1), Some(limits::TALK_LIMIT), true)]);
    assert!(matches!(changed(&said)[..], [FloorState::Taken { priority: Priority::Normal, .. }]));
    let said = bench.ask(1_100, ask(1, Priority::Emergency));
    assert!(bench.floor.emergencies().is_empty(), "repeating the old request raises nothing: {said:?}");
    let said = bench.ask(1_200, ask(3, Priority::Elevated));
    assert_eq!(revoked(&said), [(device(1), token(1), RevokeReason::Preempted)]);
}

#[test]
fn clearing_lets_those_go_first_who_now_have_more_weight() {
    let mut bench = Bench::new();
    bench.ask(0, ask(1, Priority::Emergency));
    bench.ask(1, ask(2, Priority::Emergency));
    bench.ask(2, ask(3, Priority::Dispatcher));
    bench.at(5, clear(2, Role::Talker, 2));
    assert_eq!(bench.waiting(), [3, 2].map(device));
    let said = bench.at(6, clear(1, Role::Talker, 1));
    assert_eq!(revoked(&said), [(device(1), token(1), RevokeReason::Preempted)]);
    assert_eq!((bench.holder(), bench.waiting()), (Some(device(3)), vec![device(2)]));
}

#[test]
fn emergencies_come_back_from_the_log() {
    let floor = Floor::new(Config::default(), 8, Mono(u64::MAX), [user(4), user(2), user(4)]);
    assert_eq!(floor.emergencies(), [user(4), user(2)]);
    assert_eq!(floor.state(START), FloorState::Idle { token: FloorToken { term: 8, counter: 0 } });
}

#[test]
fn emergencies_are_bounded() {
    let many = (0..=u16::MAX).map(|n| {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&n.to_be_bytes());
        UserId::from_bytes(bytes)
    });
    let mut floor = Floor::new(Config::default(), 1, Mono(u64::MAX), many);
    assert_eq!(floor.emergencies().len(), limits::EMERGENCIES_MAX);
    floor.handle(START, Input::Request(ask(255, Priority::Emergency)));
    assert_eq!(floor.holder().map(|(device, ..)| device), Some(device(255)));
}

#[test]
fn waits_of_nothing_still_name_a_later_time() {
    let none = Duration::ZERO;
    let mut bench = Bench::with(Config {
        talk_limit: none,
        emergency_talk_limit: Some(none),
        talk_warning: none,
        holder_silence_max: none,
        queue_wait_max: none,
        queue_max: 0,
    });
    for n in 0..9 {
        bench.ask(0, ask(n, Priority::ALL[usize::from(n % 4)]));
        assert!(bench.floor.poll_timeout() > Some(at_ms(0)));
    }
}

#[test]
fn time_that_runs_backwards_stands_still() {
    let mut bench = Bench::new();
    bench.ask(5_000, ask(1, Priority::Normal));
    bench.at(1_000, Input::Heard { device: device(1) });
    assert_eq!(bench.floor.due(Timer::Silence), Some(at_ms(7_000)));
}

#[test]
fn outputs_are_the_sockets_messages() {
    let room = RoomId::from_bytes([7; 16]);
    let mut bench = Bench::new();
    let messages: Vec<_> = bench.ask(0, ask(1, Priority::Emergency)).iter().filter_map(|o| o.message(room)).collect();
    let floor = bench.floor.state(at_ms(0));
    assert_eq!(
        messages,
        [
            (Audience::Room, ServerMessage::Emergency { room, raised_by: vec![user(1)] }),
            (
                Audience::Device(device(1)),
                ServerMessage::FloorGranted { request: RequestId(1), room, token: token(1), until_ms: UNLIMITED_MS }
            ),
            (Audience::Room, ServerMessage::Floor { room, floor }),
        ]
    );
    let queued = bench.ask(0, ask(2, Priority::Normal))[0].message(room);
    let expected = ServerMessage::FloorQueued { request: RequestId(2), room, position: 1, waiting: 1 };
    assert_eq!(queued, Some((Audience::Device(device(2)), expected)));
    let refused = bench.at(0, clear(2, Role::Talker, 1))[0].message(room);
    assert!(matches!(
        refused,
        Some((Audience::Device(_), ServerMessage::Refused { request: Some(RequestId(90)), problem, .. }))
            if problem.is(ProblemKind::Forbidden)
    ));
}
