//! What the crash tests and their victim say to each other: one line of JSON each.

use std::path::Path;

use holler_core::units::{ClientId, DeviceId, RoomId, UserId};
use holler_server::storage::Point;
use serde::{Deserialize, Serialize};

/// The rooms that the victim makes.
pub const ROOMS: [RoomId; 2] = [RoomId::from_bytes([1; 16]), RoomId::from_bytes([2; 16])];

/// What the victim does to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// Nothing.
    None,
    /// `SIGKILL` at the n-th pass of a point, named by its place in [`Point::ALL`].
    Kill {
        /// Index into [`Point::ALL`].
        point: usize,
        /// Counted from 1.
        pass: u32,
    },
    /// From the n-th written event on no file grows any more, until three appends have failed.
    FullFiles {
        /// Counted from 1.
        pass: u32,
    },
}

impl Fault {
    /// A kill at a pass of a point.
    pub fn kill(point: Point, pass: u32) -> Self {
        Self::Kill { point: Point::ALL.iter().position(|other| *other == point).unwrap_or(0), pass }
    }
}

/// What the victim is told on its command line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Orders {
    /// Its folder.
    pub top: std::path::PathBuf,
    /// What it does to itself.
    pub fault: Fault,
}

impl Orders {
    /// Where its data lies.
    pub fn data(top: &Path) -> std::path::PathBuf {
        top.join("data")
    }

    /// Where its keys lie.
    pub fn keys(top: &Path) -> std::path::PathBuf {
        top.join("keys")
    }
}

/// A send, on the victim's standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Send {
    /// Names the send; everything else follows from it.
    pub number: u32,
}

impl Send {
    /// To which room.
    pub fn room(&self) -> RoomId {
        ROOMS[usize::try_from(self.number % 2).unwrap_or(0)]
    }

    /// By whom.
    pub fn user(&self) -> UserId {
        UserId::from_bytes([self.spread(); 16])
    }

    /// From which device.
    pub fn device(&self) -> DeviceId {
        DeviceId::from_bytes([self.spread(); 16])
    }

    /// Its client id.
    pub fn client_id(&self) -> ClientId {
        ClientId::from_bytes((u128::from(self.number) << 64).to_be_bytes())
    }

    /// What it says.
    pub fn text(&self) -> String {
        format!("send {} {}", self.number, "x".repeat(usize::try_from(self.number % 700).unwrap_or(0)))
    }

    fn spread(&self) -> u8 {
        u8::try_from(self.number % 5).unwrap_or(0) + 1
    }
}

/// What the victim says, on its standard output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Said {
    /// A send is acked.
    Ack {
        /// Which.
        number: u32,
        /// Its place.
        seq: u64,
        /// Whether it had it before.
        replayed: bool,
    },
    /// A send is not acked.
    Nack {
        /// Which.
        number: u32,
        /// Whether its outcome is unknown.
        unknown: bool,
        /// Why.
        why: String,
    },
    /// An event is fanned out.
    Event {
        /// The room.
        room: RoomId,
        /// Its place.
        seq: u64,
        /// Of which send.
        client_id: ClientId,
    },
}
