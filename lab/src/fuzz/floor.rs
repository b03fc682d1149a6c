//! The floor machine, watched from outside.

use core::time::Duration;
use std::collections::BTreeSet;

use holler_core::floor::{Config, Floor, Input, Outcome, Output, Request};
use holler_core::model::{BurstHeader, Codec, Priority, Role};
use holler_core::units::{Bitrate, BurstId, DeviceId, Epoch, FloorToken, FrameMs, Mono, RequestId, RoomId, UserId};

use super::Reader;

const DEVICES: usize = 9;

/// Any sequence of requests, losses, stalls and faults: there is one talker, tokens rise, waits are bounded, each request is
/// counted once, and the timeout that is named lies ahead. Says how many requests were granted.
pub fn floor(data: &[u8]) -> usize {
    let mut reader = Reader::new(data);
    let wait = |reader: &mut Reader<'_>| Duration::from_millis(u64::from(reader.u8()) * 4);
    let config = Config {
        talk_limit: wait(&mut reader),
        emergency_talk_limit: if reader.coin() { Some(wait(&mut reader)) } else { None },
        talk_warning: wait(&mut reader),
        holder_silence_max: wait(&mut reader),
        queue_wait_max: wait(&mut reader),
        queue_max: reader.below(6),
    };
    // Without repetitions it is known how many requests there were.
    let repeats = reader.coin();
    let mut drive = Drive {
        floor: Floor::new(config, 1, Mono(u64::MAX), []),
        config,
        now: Mono(0),
        watch: Watch::default(),
        last: [None; DEVICES],
        asked: 0,
    };
    while !reader.is_empty() && drive.asked < 300 {
        drive.operation(&mut reader, repeats);
    }
    drive.input(Input::Drain);
    assert!(repeats || drive.watch.counted == drive.asked, "{} of {}", drive.watch.counted, drive.asked);
    assert!(drive.watch.counted <= drive.asked);
    drive.watch.granted
}

struct Drive {
    floor: Floor,
    config: Config,
    now: Mono,
    watch: Watch,
    last: [Option<Request>; DEVICES],
    asked: usize,
}

/// What those outside believe.
#[derive(Default)]
struct Watch {
    holder: Option<(DeviceId, FloorToken)>,
    highest: FloorToken,
    granted: usize,
    counted: usize,
}

fn device(n: usize) -> DeviceId {
    DeviceId::from_bytes([u8::try_from(n).unwrap_or(0); 16])
}

/// Some users have two devices.
fn user(n: usize) -> UserId {
    UserId::from_bytes([u8::try_from(n / 2).unwrap_or(0); 16])
}

impl Drive {
    fn operation(&mut self, reader: &mut Reader<'_>, repeats: bool) {
        let n = reader.below(DEVICES);
        let role = reader.pick(Role::ALL).unwrap_or(Role::Talker);
        match reader.below(16) {
            0..=4 => {
                self.asked += 1;
                let number = u32::try_from(self.asked).unwrap_or(0);
                let mut burst = [0; 16];
                burst[..4].copy_from_slice(&number.to_be_bytes());
                let header = BurstHeader {
                    burst: BurstId::from_bytes(burst),
                    codec: Codec::Opus,
                    frame_ms: FrameMs::Ms20,
                    bitrate: Bitrate(24_000),
                    key_epoch: Epoch(0),
                };
                let request = Request {
                    device: device(n),
                    user: user(n),
                    role: role.max(reader.pick(Role::ALL).unwrap_or(Role::Talker)),
                    request: RequestId(number),
                    priority: reader.pick(Priority::ALL).unwrap_or(Priority::Normal),
                    queue: reader.coin(),
                    header,
                    spoken_ago: Duration::from_millis(reader.u64() >> reader.below(64)),
                };
                self.last[n] = Some(request);
                self.input(Input::Request(request));
            }
            5 | 6 if repeats => {
                if let Some(mut again) = self.last[n] {
                    self.asked += 1;
                    if reader.coin() {
                        again.request = RequestId(1_000_000 + u32::from(reader.u16()));
                    }
                    if reader.below(4) == 0 {
                        again.priority = Priority::Emergency;
                    }
                    self.last[n] = Some(again);
                    self.input(Input::Request(again));
                }
            }
            7 => {
                if let Some(last) = self.last[n] {
                    self.input(Input::Release { device: device(n), request: last.request });
                }
            }
            8 => {
                if let Some(last) = self.last[n] {
                    self.input(Input::Ended { device: device(n), burst: last.header.burst });
                }
            }
            9 => self.input(Input::Gone { device: device(n) }),
            10 => self.input(Input::RoleChanged { user: user(n), role: reader.coin().then_some(role) }),
            11 => {
                let (device, raised_by) = (device(n), user(reader.below(DEVICES)));
                self.input(Input::ClearEmergency { device, request: RequestId(0), by: user(n), role, raised_by });
            }
            12 => {
                let until = self.now + Duration::from_millis(u64::from(reader.u16()));
                self.input(Input::Lease { until: if reader.coin() { until } else { Mono(u64::MAX) } });
            }
            13 => self.input(Input::Heard { device: device(n) }),
            14 if reader.below(30) == 0 => self.input(Input::Drain),
            14 => self.input(Input::TalkLimit { limit: Duration::from_millis(u64::from(reader.u16())) }),
            // Timers on time.
            _ => {
                let end = self.now + Duration::from_millis(u64::from(reader.u8()) * 2);
                while let Some(due) = self.floor.poll_timeout().filter(|due| *due <= end) {
                    self.now = due;
                    self.input(Input::Timeout);
                }
                // Now and then a shell that comes late.
                self.now =
                    if reader.below(8) == 0 { end + Duration::from_millis(u64::from(reader.u16())) } else { end };
            }
        }
    }

    fn input(&mut self, input: Input) {
        // What is overdue comes first, so that the input's own consequences can be told apart.
        for input in [Input::Timeout, input] {
            self.floor.handle(self.now, input);
            let outputs: Vec<Output> = core::iter::from_fn(|| self.floor.poll_output()).collect();
            self.watch.sees(&input, &outputs, self.floor.holder().map(|(device, _, token)| (device, token)));
            for output in &outputs {
                let _message = output.message(RoomId::from_bytes([0; 16]));
            }
        }
        assert!(self.floor.poll_timeout().is_none_or(|due| due > self.now), "the timeout lies ahead");
        let waiting: Vec<DeviceId> = self.floor.waiting().map(|asked| asked.device).collect();
        let distinct: BTreeSet<_> = waiting.iter().copied().collect();
        assert!(waiting.len() == distinct.len() && waiting.len() <= self.config.queue_max);
        match self.watch.holder {
            None => assert!(waiting.is_empty(), "nobody waits for an idle floor"),
            Some((holder, token)) => {
                assert!(!distinct.contains(&holder));
                assert!(self.floor.accepts(self.now, holder, token));
                let older = FloorToken { counter: token.counter - 1, ..token };
                assert!(!self.floor.accepts(self.now, holder, older));
            }
        }
    }
}

impl Watch {
    fn sees(&mut self, input: &Input, outputs: &[Output], holder: Option<(DeviceId, FloorToken)>) {
        let leaving = match input {
            Input::Request(Request { device, .. }) | Input::Release { device, .. } | Input::Ended { device, .. } => {
                Some(*device)
            }
            Input::Heard { .. }
            | Input::Gone { .. }
            | Input::RoleChanged { .. }
            | Input::ClearEmergency { .. }
            | Input::Lease { .. }
            | Input::TalkLimit { .. }
            | Input::Drain
            | Input::Timeout => None,
        };
        for output in outputs {
            match output {
                Output::Granted { device, token, again: false, .. } => {
                    assert!(*token > self.highest, "tokens strictly increase");
                    assert!(self.holder.is_none_or(|(holder, _)| Some(holder) == leaving), "two talkers");
                    self.highest = *token;
                    self.holder = Some((*device, *token));
                    self.granted += 1;
                }
                Output::Granted { device, token, again: true, .. } => assert_eq!(self.holder, Some((*device, *token))),
                Output::Revoked { device, token, .. } => {
                    if self.holder == Some((*device, *token)) {
                        self.holder = None;
                    } else {
                        assert_eq!(leaving, Some(*device), "an old revocation is told to one who repeats the request");
                    }
                }
                Output::Outcome { outcome, wait, .. } => {
                    self.counted += 1;
                    assert!(*outcome != Outcome::Immediate || wait.is_zero());
                }
                Output::Queued { position, waiting, .. } => assert!((1..=*waiting).contains(position)),
                Output::Denied { .. }
                | Output::Warning { .. }
                | Output::Changed(_)
                | Output::EmergencyRaised { .. }
                | Output::EmergencyCleared { .. }
                | Output::Emergencies { .. }
                | Output::ClearRefused { .. } => {}
            }
        }
        // Only by its own doing can a holder lose the floor without being told.
        if self.holder != holder {
            assert!(holder.is_none() && self.holder.is_some_and(|(device, _)| Some(device) == leaving));
            self.holder = None;
        }
    }
}
