//! A local store in memory: what a client finds again when it starts anew.

use super::*;
use crate::model::{BurstDigest, Priority};
use crate::units::FrameNo;

/// One own item, in the order in which it was spoken or written.
#[derive(Clone, Debug)]
pub(super) enum Kept {
    Text { room: RoomId, client_id: ClientId, body: EventBody, acked: Option<Incarnation> },
    Burst(OwnBurst),
}

#[derive(Clone, Debug)]
pub(super) struct OwnBurst {
    room: RoomId,
    header: BurstHeader,
    priority: Priority,
    begun: Mono,
    frames: Vec<Bytes>,
    end: Option<(FrameNo, BurstDigest)>,
    placed: bool,
    held: bool,
    delivered: Option<Incarnation>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    pub(super) items: Vec<Kept>,
}

impl Disk {
    fn burst(&mut self, id: BurstId) -> Option<&mut OwnBurst> {
        self.items.iter_mut().find_map(|item| match item {
            Kept::Burst(burst) if burst.header.burst == id => Some(burst),
            Kept::Burst(_) | Kept::Text { .. } => None,
        })
    }

    pub(super) fn store(&mut self, now: Mono, change: Store) {
        match change {
            Store::BurstBegun { room, header, priority, .. } => self.items.push(Kept::Burst(OwnBurst {
                room,
                header,
                priority,
                begun: now,
                frames: vec![],
                end: None,
                placed: false,
                held: false,
                delivered: None,
            })),
            Store::Frame { burst, payload, .. } => self.burst(burst).expect("begun").frames.push(payload),
            Store::BurstPlaced { burst } => self.burst(burst).expect("begun").placed = true,
            Store::BurstEnded { burst, end: Some(end) } => self.burst(burst).expect("begun").end = Some(end),
            Store::BurstEnded { burst, end: None } => {
                self.items.retain(|item| !matches!(item, Kept::Burst(own) if own.header.burst == burst));
            }
            Store::BurstHeld { burst } => self.burst(burst).expect("begun").held = true,
            Store::BurstDelivered { burst, incarnation } => {
                self.burst(burst).expect("begun").delivered = Some(incarnation);
            }
            Store::Send { room, client_id, body } => {
                self.items.push(Kept::Text { room, client_id, body, acked: None });
            }
            Store::SendDone { client_id: done, place } => {
                for item in &mut self.items {
                    if let Kept::Text { client_id, acked, .. } = item
                        && *client_id == done
                    {
                        *acked = place.map(|place| place.incarnation);
                    }
                }
            }
            Store::Cursor { .. }
            | Store::BurstHeard { .. }
            | Store::Heard { .. }
            | Store::Read { .. }
            | Store::ReceiptsStored { .. } => {}
        }
    }

    pub(super) fn frames(&mut self, id: BurstId) -> Result<Vec<Bytes>, String> {
        self.burst(id).map(|burst| burst.frames.clone()).ok_or_else(|| "not there".to_owned())
    }

    /// What is not finished, or, with a history, what was acked in another one.
    pub(super) fn restored(&self, now: Mono, other_than: Option<(RoomId, Incarnation)>) -> Vec<Restored> {
        let wanted = |of: RoomId, done: Option<Incarnation>| match other_than {
            None => done.is_none(),
            Some((room, incarnation)) => of == room && done.is_some_and(|done| done != incarnation),
        };
        let restored = self.items.iter().filter_map(|item| match item {
            Kept::Text { room, client_id, body, acked } if wanted(*room, *acked) => {
                Some(Restored::Send { room: *room, client_id: *client_id, body: body.clone() })
            }
            Kept::Burst(own) if !own.held && wanted(own.room, own.delivered) => {
                let mut recording = crate::burst::Recording::new();
                for frame in &own.frames {
                    recording.push(frame.clone()).expect("what was recorded");
                }
                let (last, digest) = own.end.or_else(|| recording.end())?;
                let (room, header, priority) = (own.room, own.header, own.priority);
                let (spoken, delivered) = (Spoken::Ago(now.since(own.begun)), other_than.is_some());
                let placed = own.placed && !delivered;
                Some(Restored::Burst { room, header, priority, spoken, placed, delivered, last, digest })
            }
            Kept::Text { .. } | Kept::Burst(_) => None,
        });
        restored.collect()
    }
}
