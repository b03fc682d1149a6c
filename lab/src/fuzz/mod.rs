//! Fuzz targets: functions that take any bytes, drive a part with what they make of them, and panic when it breaks a promise.
//!
//! They run as property tests on stable with every `cargo test -p holler-lab`, and without end under libFuzzer from the crate
//! in `lab/fuzz`, which includes this module as it is:
//!
//! ```text
//! cargo +nightly fuzz run --fuzz-dir lab/fuzz floor
//! ```
//!
//! Bytes are read by a small [`Reader`], so that most inputs get past the first check: messages are made from the examples of
//! `docs/PROTOCOL.md` by changing them here and there, the machines are driven by sequences of operations. Each target says
//! how far its input got, and a test makes sure that enough of them get far enough.

mod burst;
mod floor;
mod media;
mod messages;
mod reader;

pub use burst::burst;
pub use floor::floor;
pub use media::{frames_body, voice_frame};
pub use messages::{client_message, server_message};
use reader::Reader;

/// A target: takes any bytes, and says how many interesting things happened.
pub type Target = fn(&[u8]) -> usize;

/// Every target with its name in `lab/fuzz`.
pub const TARGETS: &[(&str, Target)] = &[
    ("client_message", client_message),
    ("server_message", server_message),
    ("voice_frame", voice_frame),
    ("frames_body", frames_body),
    ("floor", floor),
    ("burst", burst),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(any::<u8>(), 0..1_500)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn client_messages_are_judged(data in bytes()) {
            client_message(&data);
        }

        #[test]
        fn server_messages_are_judged(data in bytes()) {
            server_message(&data);
        }

        #[test]
        fn voice_frames_are_judged(data in bytes()) {
            voice_frame(&data);
        }

        #[test]
        fn bodies_of_frames_are_judged(data in bytes()) {
            frames_body(&data);
        }

        #[test]
        fn the_floor_keeps_its_promises(data in bytes()) {
            floor(&data);
        }

        #[test]
        fn bursts_keep_their_promises(data in bytes()) {
            burst(&data);
        }
    }

    /// A fuzzer that is turned away at the door finds nothing: of simple inputs, a good part must get inside.
    #[test]
    fn enough_inputs_get_far_enough() {
        for (name, target) in TARGETS {
            let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
            let mut byte = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state.to_be_bytes()[0]
            };
            let far =
                (0..200).filter(|_| target(&core::iter::repeat_with(&mut byte).take(400).collect::<Vec<_>>()) > 0);
            let far = far.count();
            assert!(far >= 40, "{name}: {far} of 200");
        }
    }

    /// The crate for libFuzzer has a binary for each.
    #[test]
    fn every_target_can_be_fuzzed_for_long() {
        let manifest = include_str!("../../fuzz/Cargo.toml");
        for (name, _) in TARGETS {
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        }
        assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
    }
}
