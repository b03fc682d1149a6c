//! One press of the talk button, from the finger's point of view.

use holler_core::engine::TalkState;
use holler_core::units::{BurstId, RoomId};
use holler_core::wire::socket::{DenyReason, RevokeReason};

use crate::port::{Ask, Tone};
use crate::{t, words};

/// For how long an emergency opens the microphone, ms, from the moment on at which it really runs.
const EMERGENCY_OPEN_MS: f64 = 10_000.0;

/// How a press stands.
#[derive(Clone, Debug, PartialEq)]
pub enum PressState {
    /// The microphone is being started.
    Starting,
    /// It is recorded; the floor was asked for.
    Asking,
    /// Others talk first.
    Queued {
        /// From 1.
        position: u32,
        /// How many wait.
        waiting: u32,
    },
    /// It is heard live.
    Granted {
        /// When the talk limit comes, ms since 1970; `None`: never.
        until: Option<f64>,
    },
    /// No. What was said stays on this device.
    Denied {
        /// Why, and what to do.
        words: String,
    },
    /// The floor was taken away; what was said until now is still delivered.
    Revoked {
        /// Why, and what to do.
        words: String,
    },
    /// It is recorded without a connection.
    Offline,
    /// The button is up; the rest is on its way.
    Ending,
    /// The server has every frame.
    Delivered,
    /// It found no connection: it is delivered by itself when there is one.
    Waiting,
    /// The server can't take it for now: it is tried again by itself.
    PutOff {
        /// Why.
        words: String,
    },
    /// It was not delivered.
    Kept,
    /// Nothing was recorded, or it can't be delivered: why, and what to do.
    Failed {
        /// Why, and what to do.
        words: String,
    },
}

/// One press.
#[derive(Clone, Debug, PartialEq)]
pub struct Press {
    /// Where.
    pub room: RoomId,
    /// Whether it is an emergency.
    pub emergency: bool,
    /// Its burst, once the engine named it.
    pub burst: Option<BurstId>,
    /// Whether the button is down.
    pub held: bool,
    /// It goes on without a finger, until the button is pressed again.
    pub latched: bool,
    /// When it ends by itself, ms since 1970: an emergency opens the microphone for a while.
    pub open_until: Option<f64>,
    /// Whether the microphone really runs.
    pub recording: bool,
    /// What went wrong with the recording.
    pub fault: Option<String>,
    /// How it stands.
    pub state: PressState,
}

impl Press {
    /// A press that has just begun.
    pub fn new(room: RoomId, emergency: bool) -> Self {
        let state = PressState::Starting;
        let (latched, recording) = (false, false);
        Self { room, emergency, burst: None, held: true, latched, open_until: None, recording, fault: None, state }
    }

    /// Whether it has to end now.
    pub(super) fn is_over(&self, now: f64) -> bool {
        self.held && self.open_until.is_some_and(|until| now >= until)
    }

    /// Takes in what the engine says of it.
    pub(super) fn talk(&mut self, now: f64, burst: BurstId, state: TalkState) -> Vec<Ask> {
        self.burst = Some(burst);
        let mut asks = Vec::new();
        self.state = match state {
            TalkState::Starting => PressState::Starting,
            TalkState::SpeakNow => {
                self.recording = true;
                if self.emergency {
                    self.open_until = self.open_until.or(Some(now + EMERGENCY_OPEN_MS));
                }
                // It may come after the floor's answer: only with both it is time to speak.
                if self.held && matches!(self.state, PressState::Granted { .. }) {
                    asks.push(Ask::Tone(Tone::Grant));
                }
                if self.state == PressState::Starting { PressState::Asking } else { self.state.clone() }
            }
            TalkState::Asking => PressState::Asking,
            TalkState::Queued { position, waiting } => {
                if !matches!(self.state, PressState::Queued { .. }) {
                    asks.push(Ask::Tone(Tone::Busy));
                }
                PressState::Queued { position, waiting }
            }
            TalkState::Granted { until, .. } => {
                if self.held && self.recording {
                    asks.push(Ask::Tone(Tone::Grant));
                }
                // 2³² − 1 ms stands for no limit.
                let limited = until.as_millis() < u128::from(u32::MAX);
                PressState::Granted { until: limited.then_some(now + until.as_secs_f64() * 1_000.0) }
            }
            TalkState::Warning { remaining } => {
                asks.push(Ask::Tone(Tone::Warning));
                PressState::Granted { until: Some(now + remaining.as_secs_f64() * 1_000.0) }
            }
            TalkState::Denied { reason } => {
                asks.push(Ask::Tone(Tone::Denied));
                PressState::Denied { words: denied(reason) }
            }
            TalkState::Refused { problem } => {
                asks.push(Ask::Tone(Tone::Denied));
                PressState::Denied { words: words::problem(&problem.kind, &problem.detail) }
            }
            TalkState::Revoked { reason } => {
                asks.push(Ask::Tone(Tone::Denied));
                PressState::Revoked { words: revoked(reason) }
            }
            TalkState::Offline => PressState::Offline,
            TalkState::Ending | TalkState::Repairing { .. } => {
                self.held = false;
                PressState::Ending
            }
            TalkState::Delivered => {
                self.held = false;
                PressState::Delivered
            }
            TalkState::Waiting => {
                self.held = false;
                PressState::Waiting
            }
            TalkState::PutOff { problem } => {
                self.held = false;
                PressState::PutOff { words: words::problem(&problem.kind, &problem.detail) }
            }
            TalkState::Kept => {
                self.held = false;
                PressState::Kept
            }
            TalkState::Failed { detail } => {
                if self.held {
                    asks.push(Ask::Tone(Tone::Denied));
                }
                self.held = false;
                PressState::Failed { words: self.fault.take().unwrap_or_else(|| words::recording(&detail)) }
            }
        };
        asks
    }
}

fn denied(reason: DenyReason) -> String {
    match reason {
        DenyReason::Busy => t!("denied-busy"),
        DenyReason::QueueFull => t!("denied-queue-full"),
        DenyReason::QueueExpired => t!("denied-queue-expired"),
        DenyReason::NotAllowed => t!("denied-not-allowed"),
        DenyReason::HomeUnavailable => t!("denied-unavailable"),
    }
}

fn revoked(reason: RevokeReason) -> String {
    match reason {
        RevokeReason::Preempted => t!("revoked-preempted"),
        RevokeReason::TalkLimit => t!("revoked-limit"),
        RevokeReason::LinkLost => t!("revoked-link"),
        RevokeReason::NotAllowed => t!("revoked-not-allowed"),
        RevokeReason::HomeUnavailable => t!("revoked-unavailable"),
    }
}
