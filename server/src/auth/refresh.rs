//! Refresh tokens: a chain per sign-in, each used once.
//!
//! A token is its sign-in, its number in the chain, and a MAC over both with a secret of that sign-in, so that none of them is
//! stored and the successor of a token is the same however often it is asked for. The database knows the number of the token
//! that comes next (`rotation`). The rule, for a token number `n` whose MAC is right, of a sign-in that has not ended:
//!
//! 1. `n` = `rotation`: it is used now. `rotation` becomes `n + 1`; the answer is token `n + 1`.
//! 2. `n` = `rotation` − 1, and its answer may have been lost: the answer is token `rotation` once more, and nothing changes. That
//!    holds for 30 s after the first use, whatever happens; and beyond that for up to a day, as long as nobody has shown an
//!    access token that came with token `rotation`: a client in a tunnel must not have to type a password because one answer
//!    was lost.
//! 3. `n` < `rotation` otherwise: two parties have the chain. The sign-in ends for both, and it is logged.
//! 4. `n` > `rotation`: the database is older than the token, because a backup was restored. It is used as under 1.
//!
//! What a thief gains under rule 2 is time, not secrecy: both parties then hold the same successor, and as soon as one of them
//! has used it and shown what came with it, the other one's use ends the sign-in, unless it follows within 30 s.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use holler_core::seal::{KEY_BYTES, Key};
use holler_core::units::{FamilyId, UnixMs};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

const PREFIX: &str = "hr1.";
const BYTES: usize = 16 + 4 + 32;
/// A client whose answer was lost may come again within this.
const GRACE_MS: u64 = 30_000;
/// And within this while nobody has shown what came with the successor.
const GRACE_UNSEEN_MS: u64 = 24 * 3_600_000;

/// A refresh token that came from a client.
pub struct RefreshToken {
    /// Its sign-in.
    pub family: FamilyId,
    number: u32,
    mac: [u8; 32],
}

/// What to do with a token whose MAC is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is used now; the answer is the token with this number.
    Rotate(u32),
    /// Its answer may have been lost: the answer is this token once more.
    Repeat(u32),
    /// Two parties have the chain.
    Reused,
}

impl RefreshToken {
    /// Reads the text form.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        let encoded = text.strip_prefix(PREFIX).filter(|rest| rest.len() == BYTES.div_ceil(3) * 4 - 2)?;
        if BASE64.decode_slice(encoded, &mut *bytes).ok()? != BYTES {
            return None;
        }
        let (mut family, mut number, mut mac) = ([0; 16], [0; 4], [0; 32]);
        family.copy_from_slice(&bytes[..16]);
        number.copy_from_slice(&bytes[16..20]);
        mac.copy_from_slice(&bytes[20..]);
        Some(Self { family: FamilyId::from_bytes(family), number: u32::from_be_bytes(number), mac })
    }

    /// Whether the token is one of the chain with this secret, whatever its number.
    pub fn is_made_with(&self, secret: &[u8]) -> bool {
        mac(secret, self.family, self.number).is_some_and(|right| right.ct_eq(&self.mac).into())
    }

    /// The rule above. `None`: the MAC is wrong. `seen`: the highest number that came with an access token which was shown.
    pub fn judge(&self, secret: &[u8], rotation: u32, rotated_at: UnixMs, seen: u32, now: UnixMs) -> Option<Verdict> {
        if !self.is_made_with(secret) {
            return None;
        }
        let age = now.0.saturating_sub(rotated_at.0);
        Some(if self.number >= rotation {
            Verdict::Rotate(self.number.saturating_add(1))
        } else if self.number + 1 == rotation && (age <= GRACE_MS || (seen < rotation && age <= GRACE_UNSEEN_MS)) {
            Verdict::Repeat(rotation)
        } else {
            Verdict::Reused
        })
    }
}

/// The text form of token `number` of a sign-in. `None`: the secret is not one of ours.
pub fn text(secret: &[u8], family: FamilyId, number: u32) -> Option<String> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(BYTES));
    bytes.extend_from_slice(family.bytes());
    bytes.extend_from_slice(&number.to_be_bytes());
    bytes.extend_from_slice(&mac(secret, family, number)?);
    Some(format!("{PREFIX}{}", BASE64.encode(&*bytes)))
}

fn mac(secret: &[u8], family: FamilyId, number: u32) -> Option<[u8; 32]> {
    let mut bytes = <[u8; KEY_BYTES]>::try_from(secret).ok()?;
    let key = Key::take(&mut bytes);
    let mut value = [0; 20];
    value[..16].copy_from_slice(family.bytes());
    value[16..].copy_from_slice(&number.to_be_bytes());
    Some(key.lookup("refresh", &value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECRET: [u8; 32] = [7; 32];
    const AT: UnixMs = UnixMs(1_790_000_000_000);

    fn token(number: u32) -> RefreshToken {
        RefreshToken::parse(&text(&SECRET, FamilyId::from_bytes([5; 16]), number).unwrap()).unwrap()
    }

    fn judge(number: u32, rotation: u32, seen: u32, later_ms: u64) -> Verdict {
        token(number).judge(&SECRET, rotation, AT, seen, UnixMs(AT.0 + later_ms)).unwrap()
    }

    #[test]
    fn the_next_token_is_used_once() {
        assert_eq!(judge(4, 4, 3, 0), Verdict::Rotate(5));
        assert_eq!(judge(4, 5, 5, 30_001), Verdict::Reused);
        assert_eq!(judge(3, 5, 5, 0), Verdict::Reused, "older ones have no grace");
    }

    #[test]
    fn a_lost_answer_is_given_again_for_30_s() {
        assert_eq!(judge(4, 5, 4, 30_000), Verdict::Repeat(5));
        assert_eq!(judge(4, 5, 5, 30_000), Verdict::Repeat(5));
        assert_eq!(judge(4, 5, 5, 30_001), Verdict::Reused);
    }

    #[test]
    fn and_for_a_day_while_nobody_shows_that_it_arrived() {
        assert_eq!(judge(4, 5, 4, 3_600_000), Verdict::Repeat(5));
        assert_eq!(judge(4, 5, 5, 3_600_000), Verdict::Reused);
        assert_eq!(judge(4, 5, 4, GRACE_UNSEEN_MS + 1), Verdict::Reused);
    }

    #[test]
    fn a_restored_backup_takes_the_newer_token() {
        assert_eq!(judge(9, 4, 3, 0), Verdict::Rotate(10));
    }

    #[test]
    fn what_was_not_made_with_the_secret_is_refused() {
        assert_eq!(token(4).judge(&[8; 32], 4, AT, 3, AT), None);
        let mut other = token(4);
        other.number = 5;
        assert_eq!(other.judge(&SECRET, 4, AT, 3, AT), None);
    }

    proptest! {
        #[test]
        fn any_text_is_a_token_or_none(text in ".{0,100}", body in "[A-Za-z0-9_-]{60,80}") {
            let _ = RefreshToken::parse(&text);
            let _ = RefreshToken::parse(&format!("{PREFIX}{body}"));
        }
    }
}
