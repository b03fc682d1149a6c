//! One test per clause of the module's text, then the machine beside a small reference model.

use super::*;
use crate::model::Codec;
use crate::units::{Bitrate, Epoch, FrameMs};

mod clauses;
mod reference;

/// Time begins well above zero, so that subtracting a span shows.
const START: Mono = Mono(1_000_000_000);

fn at_ms(ms: u64) -> Mono {
    START + Duration::from_millis(ms)
}

fn device(n: u8) -> DeviceId {
    DeviceId::from_bytes([n; 16])
}

fn user(n: u8) -> UserId {
    UserId::from_bytes([n; 16])
}

fn burst(n: u8) -> BurstId {
    BurstId::from_bytes([n; 16])
}

fn header(n: u8) -> BurstHeader {
    BurstHeader {
        burst: burst(n),
        codec: Codec::Opus,
        frame_ms: FrameMs::Ms20,
        bitrate: Bitrate(24_000),
        key_epoch: Epoch(0),
    }
}

/// Device `n` of user `n` asks with request and burst number `n`, and would wait.
fn ask(n: u8, priority: Priority) -> Request {
    Request {
        device: device(n),
        user: user(n),
        role: Role::Dispatcher,
        request: RequestId(u32::from(n)),
        priority,
        queue: true,
        header: header(n),
        spoken_ago: Duration::ZERO,
    }
}

/// A floor and everything that it said since it was last asked.
struct Bench {
    floor: Floor,
}

impl Bench {
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        Self { floor: Floor::new(config, 3, Mono(u64::MAX), []) }
    }

    fn at(&mut self, ms: u64, input: Input) -> Vec<Output> {
        self.floor.handle(at_ms(ms), input);
        core::iter::from_fn(|| self.floor.poll_output()).collect()
    }

    fn ask(&mut self, ms: u64, request: Request) -> Vec<Output> {
        self.at(ms, Input::Request(request))
    }

    /// Runs the timers until `ms`, each at its time; the holder is heard from all the while if `heard`.
    fn run_until(&mut self, ms: u64, heard: bool) -> Vec<(u64, Output)> {
        let mut said = Vec::new();
        while let Some(due) = self.floor.poll_timeout().filter(|due| *due <= at_ms(ms)) {
            if let Some((device, ..)) = self.floor.holder().filter(|_| heard) {
                self.floor.handle(due - Duration::from_millis(1), Input::Heard { device });
            }
            self.floor.handle(due, Input::Timeout);
            let ms = u64::try_from(due.since(START).as_millis()).unwrap();
            said.extend(core::iter::from_fn(|| self.floor.poll_output()).map(|output| (ms, output)));
        }
        said
    }

    fn holder(&self) -> Option<DeviceId> {
        self.floor.holder().map(|(device, ..)| device)
    }

    fn waiting(&self) -> Vec<DeviceId> {
        self.floor.waiting().map(|request| request.device).collect()
    }
}

macro_rules! pick {
    ($said:expr, $pattern:pat => $value:expr) => {
        $said.iter().filter_map(|output| if let $pattern = output { Some($value) } else { None }).collect()
    };
}

fn outcomes(said: &[Output]) -> Vec<(DeviceId, Outcome, u64)> {
    pick!(said, Output::Outcome { device, outcome, wait, .. } => (*device, *outcome, wait.as_millis().try_into().unwrap()))
}

fn granted(said: &[Output]) -> Vec<(DeviceId, RequestId, FloorToken, Option<Duration>, bool)> {
    pick!(said, Output::Granted { device, request, token, until, again, .. } => (*device, *request, *token, *until, *again))
}

fn denied(said: &[Output]) -> Vec<(DeviceId, RequestId, DenyReason)> {
    pick!(said, Output::Denied { device, request, reason } => (*device, *request, *reason))
}

fn revoked(said: &[Output]) -> Vec<(DeviceId, FloorToken, RevokeReason)> {
    pick!(said, Output::Revoked { device, token, reason, .. } => (*device, *token, *reason))
}

fn queued(said: &[Output]) -> Vec<(DeviceId, RequestId, u32, u32)> {
    pick!(said, Output::Queued { device, request, position, waiting } => (*device, *request, *position, *waiting))
}

fn changed(said: &[Output]) -> Vec<&FloorState> {
    pick!(said, Output::Changed(state) => state)
}
