//! Which frames came, by datagram: each is given out once.

use crate::units::{BurstTag, FrameNo};

/// Bursts of which is remembered which frames came.
const BURSTS_MAX: usize = 4;

/// Which frames of the last few bursts came.
#[derive(Debug, Default)]
pub(super) struct Came(Vec<Burst>);

#[derive(Debug)]
struct Burst {
    tag: BurstTag,
    highest: u16,
    /// The lowest bit is the highest frame, the next the one before it.
    map: u128,
}

impl Came {
    /// Whether this one is new; it is not from now on.
    pub(super) fn is_new(&mut self, tag: BurstTag, number: FrameNo) -> bool {
        let at = self.0.iter().position(|burst| burst.tag == tag).unwrap_or_else(|| {
            if self.0.len() == BURSTS_MAX {
                self.0.remove(0);
            }
            self.0.push(Burst { tag, highest: number.0, map: 0 });
            self.0.len() - 1
        });
        let came = &mut self.0[at];
        if number.0 > came.highest {
            came.map = came.map.checked_shl(u32::from(number.0 - came.highest)).unwrap_or(0);
            came.highest = number.0;
        }
        // One so far back that it is not known is given out: a frame too many is ignored later, one too few is not.
        let Some(bit) = 1_u128.checked_shl(u32::from(came.highest - number.0)) else { return true };
        let new = came.map & bit == 0;
        came.map |= bit;
        new
    }
}
