//! A burst's recording and its assembly, over a link that does what it likes.

use bytes::Bytes;
use holler_core::burst::{Assembly, EndRefused, FrameRefused, Frames, Inserted, Phase, Recording};
use holler_core::model::{BurstDigest, EventBody, FrameRange};
use holler_core::units::{BurstId, DeviceId, FrameNo};
use holler_core::wire::limits::{FRAME_BYTES_MAX, MISSING_RANGES_MAX};

use super::Reader;

const BURST: BurstId = BurstId::from_bytes([1; 16]);
const OWNER: DeviceId = DeviceId::from_bytes([2; 16]);
const OTHER: DeviceId = DeviceId::from_bytes([3; 16]);

/// Frames lost, repeated, reordered, forged and out of bounds, ends that lie, interruptions and restarts: what is complete has
/// the bytes that the digest was computed over, each event is appended once, and an honest sender can always complete a burst
/// that nobody spoilt. Says whether it was completed.
pub fn burst(data: &[u8]) -> usize {
    let mut reader = Reader::new(data);
    let mut sender = Recording::new();
    for _ in 0..=reader.below(200) {
        let payload = vec![reader.u8(); reader.below(5) + 1];
        assert!(sender.push(Bytes::from(payload)).is_ok());
    }
    let Some((last, digest)) = sender.end() else { return 0 };
    let mut drive = Drive {
        server: Assembly::new(BURST, OWNER),
        stored: Frames::new(),
        log: Vec::new(),
        sender,
        last,
        digest,
        spoilt: false,
    };
    while !reader.is_empty() {
        drive.operation(&mut reader);
        drive.check();
    }
    if !drive.spoilt {
        drive.repair();
        return 1;
    }
    usize::from(matches!(drive.server.phase(), Phase::Complete { .. }))
}

struct Drive {
    sender: Recording,
    last: FrameNo,
    digest: BurstDigest,
    server: Assembly,
    /// What storage has.
    stored: Frames,
    log: Vec<EventBody>,
    /// A forged frame stayed, or a false end was taken.
    spoilt: bool,
}

impl Drive {
    fn operation(&mut self, reader: &mut Reader<'_>) {
        let number = FrameNo(u16::try_from(reader.below(usize::from(self.last.0) + 3)).unwrap_or(0));
        let honest = self.sender.frames().frame(number).cloned();
        match reader.below(24) {
            0 => assert_eq!(self.server.insert(OTHER, number, honest.unwrap_or_default()), Err(FrameRefused::NotOwner)),
            1 => assert_eq!(self.server.end(OTHER, self.last, self.digest), Err(EndRefused::NotOwner)),
            2 if reader.below(8) == 0 => {
                let forged = Bytes::from(vec![reader.u8(); reader.below(FRAME_BYTES_MAX + 9)]);
                let same = honest.as_ref() == Some(&forged);
                if self.server.insert(OWNER, number, forged) == Ok(Inserted::New) {
                    self.spoilt |= !same;
                }
            }
            3 if reader.below(8) == 0 => {
                let mut digest = self.digest;
                if reader.coin() {
                    digest.0[reader.below(32)] ^= 1;
                }
                let taken = self.server.end(OWNER, number, digest).is_ok();
                self.spoilt |= taken && (number, digest) != (self.last, self.digest);
            }
            4 if reader.coin() => self.server.interrupt(),
            5 => self.end(),
            6 => self.store(),
            7 => self.crash(),
            _ => {
                if let Some(honest) = honest {
                    let inserted = self.server.insert(OWNER, number, honest);
                    assert!(self.spoilt || inserted.is_ok_and(|inserted| inserted != Inserted::Conflict));
                }
            }
        }
    }

    fn store(&mut self) {
        for (number, payload) in self.server.take_unsaved() {
            assert_eq!(self.stored.insert(number, payload), Ok(Inserted::New), "each frame is stored once");
        }
        self.log.extend(core::iter::from_fn(|| self.server.poll_append()));
    }

    /// Frames that were not stored and events that were not appended are gone; the log says how far the burst had come.
    fn crash(&mut self) {
        let phase = self.log.last().map_or(Phase::Live, |event| match event {
            EventBody::BurstCommitted { last, digest, missing, .. } if missing.is_empty() => {
                Phase::Complete { last: *last, digest: *digest }
            }
            EventBody::BurstCommitted { last, digest, .. } => Phase::Ended { last: *last, digest: *digest },
            EventBody::BurstCompleted { last, digest, .. } => Phase::Complete { last: *last, digest: *digest },
            EventBody::BurstInterrupted { .. } => Phase::Interrupted,
            EventBody::BurstStarted { .. }
            | EventBody::MessagePosted { .. }
            | EventBody::MessageEdited { .. }
            | EventBody::MessageDeleted { .. }
            | EventBody::EmergencyRaised {}
            | EventBody::EmergencyCleared { .. } => Phase::Live,
        });
        self.server = Assembly::restore(BURST, OWNER, self.stored.clone(), phase);
    }

    fn end(&mut self) {
        let ended = self.server.end(OWNER, self.last, self.digest);
        match ended {
            Ok(status) => {
                assert_eq!(status.complete, matches!(self.server.phase(), Phase::Complete { .. }));
                assert!(status.missing.len() <= MISSING_RANGES_MAX);
                assert_eq!(status.missing.is_empty(), status.complete);
            }
            Err(refused) => assert!(self.spoilt, "an honest end is taken: {refused}"),
        }
    }

    fn check(&self) {
        let count = |kind: &str| self.log.iter().filter(|event| event.kind() == kind).count();
        let ended = count("burst.committed") + count("burst.interrupted");
        assert!(ended <= 1 && count("burst.completed") <= ended, "{:?}", self.log);
        if let Phase::Complete { last, digest } = self.server.phase() {
            assert_eq!(self.server.frames().digest(last), Some(digest));
            // A device that forgot what it had sent may leave frames behind its end.
            assert!(self.server.frames().highest() == Some(last) || self.spoilt);
            if digest == self.digest {
                let whole = FrameRange { from: FrameNo::FIRST, to: last };
                assert!(self.server.frames().range(whole).eq(self.sender.frames().iter()));
            }
        }
    }

    /// The sender does as the protocol says, over a link that lets everything through.
    fn repair(&mut self) {
        for _ in 0..8 {
            self.end();
            let Some(status) = self.server.status() else { break };
            if status.complete {
                break;
            }
            let asked: Vec<_> =
                self.sender.asked_for(&status.missing).map(|(number, payload)| (number, payload.clone())).collect();
            for (number, payload) in asked {
                assert_eq!(self.server.insert(OWNER, number, payload), Ok(Inserted::New));
            }
        }
        assert_eq!(self.server.phase(), Phase::Complete { last: self.last, digest: self.digest });
        self.store();
        self.check();
        assert!(!self.log.is_empty());
    }
}
