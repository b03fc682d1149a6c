//! Named points on the way of a send, where a test can stop the process.

/// A point that every send passes, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    /// It arrived; nothing is written.
    Received,
    /// It is written in a transaction that is not committed.
    Written,
    /// Its transaction is committed and synced; nobody knows yet.
    Synced,
    /// Its sender was told.
    Acked,
    /// Those who follow the room were told.
    FannedOut,
}

impl Point {
    /// Every point, in order.
    pub const ALL: &'static [Self] = &[Self::Received, Self::Written, Self::Synced, Self::Acked, Self::FannedOut];
}

/// What happens at the points: nothing, unless a test brings its own.
///
/// The store passes `Received`, `Written` and `Synced`; who hands answers and events on to people passes `Acked` and
/// `FannedOut` through [`super::Store::hooks`].
pub trait Hooks: Send + Sync {
    /// The process is at `point`.
    fn at(&self, point: Point) {
        let _ = point;
    }
}

/// Nothing happens.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHooks;

impl Hooks for NoHooks {}
