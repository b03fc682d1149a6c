//! Voice frames and bodies of frames.

use bytes::{Bytes, BytesMut};
use holler_core::units::{BurstTag, FloorToken, FrameNo};
use holler_core::wire::frames;
use holler_core::wire::limits::{FRAME_BYTES_MAX, FRAMES_PER_BURST_MAX};
use holler_core::wire::voice::{FrameAge, HEADER_BYTES, VoiceFrame, VoiceKind};

use super::Reader;

/// Any bytes are a voice frame that encodes to the same bytes, or an error; what is made as a frame is read as that frame,
/// exactly if it keeps the bounds.
pub fn voice_frame(data: &[u8]) -> usize {
    let raw = Bytes::copy_from_slice(data);
    let mut reached = 0;
    if let Ok(frame) = VoiceFrame::decode(&raw) {
        assert_eq!(frame.encode(), raw);
        reached += 1;
    }
    let mut reader = Reader::new(data);
    let live = reader.coin();
    let with_token = reader.below(4) == 0;
    let token = FloorToken { term: reader.u32(), counter: reader.u32() };
    let frame = VoiceFrame {
        kind: if live { VoiceKind::Live } else { VoiceKind::Repair },
        age: FrameAge(reader.u16()),
        number: FrameNo(reader.u16() / 3),
        tag: BurstTag(reader.array()),
        token: if live || with_token { token } else { FloorToken::default() },
        payload: Bytes::from(vec![reader.u8(); reader.below(FRAME_BYTES_MAX + 20)]),
    };
    let valid = (1..=FRAMES_PER_BURST_MAX).contains(&frame.number.0)
        && (1..=FRAME_BYTES_MAX).contains(&frame.payload.len())
        && (live || frame.token == FloorToken::default());
    let encoded = frame.encode();
    assert_eq!(encoded.len(), HEADER_BYTES + frame.payload.len());
    assert_eq!(VoiceFrame::decode(&encoded).ok(), valid.then_some(frame));
    reached + usize::from(valid)
}

/// Any bytes are a body that encodes to the same bytes, or an error; what is made as a body is read as that body, exactly if
/// it keeps the bounds, and none of its beginnings is taken for more than it holds.
pub fn frames_body(data: &[u8]) -> usize {
    let raw = Bytes::copy_from_slice(data);
    let mut reached = 0;
    if let Ok(decoded) = frames::decode(raw.clone()) {
        assert_eq!(body(&decoded), raw);
        reached += decoded.len();
    }
    let mut reader = Reader::new(data);
    let mut made = Vec::new();
    let mut number = 0_u16;
    let mut valid = true;
    let faults = reader.coin();
    while !reader.is_empty() && made.len() < 64 {
        let step = match reader.below(40) {
            0 if faults => 0,
            1 if faults => FRAMES_PER_BURST_MAX,
            step => u16::try_from(step + 1).unwrap_or(1),
        };
        number = number.wrapping_add(step);
        let length =
            if faults && reader.below(40) == 0 { reader.below(FRAME_BYTES_MAX + 20) } else { reader.below(120) + 1 };
        valid &= step > 0 && number <= FRAMES_PER_BURST_MAX && (1..=FRAME_BYTES_MAX).contains(&length);
        made.push((FrameNo(number), Bytes::from(vec![reader.u8(); length])));
    }
    let encoded = body(&made);
    assert_eq!(frames::decode(encoded.clone()).is_ok(), valid);
    if valid {
        let cut = reader.below(encoded.len() + 1);
        let whole = frames::decode(encoded.slice(..cut)).unwrap_or_default();
        assert!(made.starts_with(&whole));
        assert_eq!(frames::decode(encoded), Ok(made));
        reached += 1;
    }
    reached
}

fn body(frames: &[(FrameNo, Bytes)]) -> Bytes {
    let mut out = BytesMut::new();
    for (number, payload) in frames {
        frames::put(&mut out, *number, payload);
    }
    out.freeze()
}
