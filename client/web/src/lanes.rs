//! What is handed to the socket next: live voice first, then control messages, then repair (DESIGN section 5).
//!
//! A browser's WebSocket takes everything that it is given and tells only how much of it has not left. So little is given at a
//! time, and what waits lies here, where its order can still change and stale voice can still be dropped.

use std::collections::VecDeque;

use holler_core::engine::Lane;
use holler_core::units::Mono;
use holler_core::wire::limits::{QUEUE_VOICE_BYTES_MAX, VOICE_STALE};
use holler_core::wire::voice::{FrameAge, VoiceFrame};

/// Most control messages that wait; the engine itself is bounded well below.
const CONTROL_MAX: usize = 4_096;

/// Something to send.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A text message.
    Text(String),
    /// A voice frame.
    Voice {
        /// The frame.
        frame: VoiceFrame,
        /// When its first sample was captured.
        captured_at: Mono,
        /// When it came here.
        queued_at: Mono,
    },
}

impl Item {
    /// Bytes of text or of the frame's payload.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Voice { frame, .. } => frame.payload.len(),
        }
    }
}

/// What waits to be sent on one connection.
#[derive(Debug, Default)]
pub struct Lanes {
    voice: VecDeque<Item>,
    voice_bytes: usize,
    control: VecDeque<Item>,
    repair: VecDeque<Item>,
    bulk: VecDeque<Item>,
    stale: u32,
}

impl Lanes {
    /// A text; in the repair and bulk lanes it stays behind the frames before it. `false`: too many wait, the connection is of no use.
    #[must_use]
    pub fn text(&mut self, lane: Lane, text: String) -> bool {
        match lane {
            Lane::Voice | Lane::Control if self.control.len() >= CONTROL_MAX => return false,
            Lane::Voice | Lane::Control => self.control.push_back(Item::Text(text)),
            Lane::Repair => self.repair.push_back(Item::Text(text)),
            Lane::Bulk => self.bulk.push_back(Item::Text(text)),
        }
        true
    }

    /// A voice frame. Of live ones the oldest are dropped past [`QUEUE_VOICE_BYTES_MAX`].
    pub fn voice(&mut self, now: Mono, lane: Lane, frame: VoiceFrame, captured_at: Mono) {
        let item = Item::Voice { frame, captured_at, queued_at: now };
        match lane {
            Lane::Bulk => return self.bulk.push_back(item),
            Lane::Repair | Lane::Control => return self.repair.push_back(item),
            Lane::Voice => {}
        }
        self.voice_bytes += item.bytes();
        self.voice.push_back(item);
        while self.voice_bytes > QUEUE_VOICE_BYTES_MAX {
            let Some(oldest) = self.voice.pop_front() else { break };
            self.voice_bytes -= oldest.bytes();
            self.stale = self.stale.saturating_add(1);
        }
    }

    /// Live frames that were dropped since this was asked last.
    pub fn take_stale(&mut self) -> u32 {
        core::mem::take(&mut self.stale)
    }

    /// What to send next, with its lane; a frame states its age as of now.
    pub fn next(&mut self, now: Mono) -> Option<(Lane, Item)> {
        while let Some(item) = self.voice.pop_front() {
            self.voice_bytes -= item.bytes();
            let stale = matches!(&item, Item::Voice { queued_at, .. } if now.since(*queued_at) > VOICE_STALE);
            if !stale {
                return Some((Lane::Voice, aged(now, item)));
            }
            self.stale = self.stale.saturating_add(1);
        }
        if let Some(item) = self.control.pop_front() {
            return Some((Lane::Control, item));
        }
        if let Some(item) = self.repair.pop_front() {
            return Some((Lane::Repair, aged(now, item)));
        }
        self.bulk.pop_front().map(|item| (Lane::Bulk, aged(now, item)))
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.voice.is_empty() && self.control.is_empty() && self.repair.is_empty() && self.bulk.is_empty()
    }
}

fn aged(now: Mono, mut item: Item) -> Item {
    if let Item::Voice { frame, captured_at, .. } = &mut item {
        frame.age = FrameAge::from(now.since(*captured_at));
    }
    item
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use bytes::Bytes;
    use holler_core::units::{BurstId, FloorToken, FrameNo};
    use holler_core::wire::voice::VoiceKind;

    use super::*;

    fn frame(number: u16, bytes: usize) -> VoiceFrame {
        VoiceFrame {
            kind: VoiceKind::Live,
            age: FrameAge::default(),
            number: FrameNo(number),
            tag: BurstId::from_bytes([1; 16]).tag(),
            token: FloorToken::default(),
            payload: Bytes::from(vec![0; bytes]),
        }
    }

    fn at(ms: u64) -> Mono {
        Mono(0) + Duration::from_millis(ms)
    }

    fn shown(lanes: &mut Lanes, now: Mono) -> Vec<String> {
        let mut shown = Vec::new();
        while let Some((lane, item)) = lanes.next(now) {
            shown.push(match item {
                Item::Text(text) => format!("{lane:?} {text}"),
                Item::Voice { frame, .. } => format!("{lane:?} {} {:?}", frame.number.0, frame.age.duration()),
            });
        }
        shown
    }

    #[test]
    fn voice_goes_first_and_repair_last_and_in_order() {
        let mut lanes = Lanes::default();
        lanes.voice(at(0), Lane::Repair, frame(7, 10), at(0));
        assert!(lanes.text(Lane::Repair, "end".into()));
        assert!(lanes.text(Lane::Control, "ping".into()));
        lanes.voice(at(10), Lane::Voice, frame(1, 10), at(5));
        assert_eq!(shown(&mut lanes, at(25)), ["Voice 1 20ms", "Control ping", "Repair 7 25ms", "Repair end"]);
        assert!(lanes.is_empty());
    }

    #[test]
    fn stale_voice_is_dropped_and_the_oldest_of_too_much() {
        let mut lanes = Lanes::default();
        lanes.voice(at(0), Lane::Voice, frame(1, 10), at(0));
        lanes.voice(at(1_000), Lane::Voice, frame(2, 10), at(1_000));
        assert_eq!(shown(&mut lanes, at(1_501)), ["Voice 2 501ms"]);
        for number in 1..=40 {
            lanes.voice(at(2_000), Lane::Voice, frame(number, 1_000), at(2_000));
        }
        assert_eq!(shown(&mut lanes, at(2_000)).len(), QUEUE_VOICE_BYTES_MAX / 1_000);
    }

    #[test]
    fn control_messages_are_bounded() {
        let mut lanes = Lanes::default();
        assert!((0..CONTROL_MAX).all(|_| lanes.text(Lane::Control, String::new())));
        assert!(!lanes.text(Lane::Control, String::new()));
    }
}
