use super::*;

/// Recorded speech (see lab/fixtures/README.md), crudely brought from 16 to 48 kHz: good enough to code.
fn speech() -> Vec<f32> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../lab/fixtures/speech-a.wav");
    let mut reader = hound::WavReader::open(path).unwrap();
    assert_eq!(reader.spec().sample_rate, 16_000);
    let samples: Vec<f32> = reader.samples::<i16>().map(|sample| f32::from(sample.unwrap()) / 32_768.0).collect();
    let mut out = Vec::with_capacity(samples.len() * 3);
    for pair in samples.windows(2) {
        for third in [0.0, 1.0 / 3.0, 2.0 / 3.0] {
            out.push(pair[0] * (1.0 - third) + pair[1] * third);
        }
    }
    out
}

fn settings(bitrate: u32, frame: FrameMs) -> EncoderSettings {
    EncoderSettings { frame, bitrate: Bitrate(bitrate), expected_loss_percent: 25, ..EncoderSettings::default() }
}

fn packets(settings: EncoderSettings) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(settings).unwrap();
    let sound = speech();
    sound.chunks_exact(encoder.frame_samples()).map(|frame| encoder.encode(frame).unwrap()).collect()
}

/// Decodes, with frames for which `lost` is true recovered from the next that is there, or concealed.
fn decoded(
    packets: &[Vec<u8>],
    frame: FrameMs,
    lost: impl Fn(usize) -> bool,
    recover: bool,
) -> (Vec<f32>, Vec<Recovery>) {
    let mut decoder = Decoder::new(frame).unwrap();
    let (mut sound, mut how) = (Vec::new(), Vec::new());
    for number in 0..packets.len() {
        if !lost(number) {
            sound.extend(decoder.decode(&packets[number]).unwrap());
            continue;
        }
        let later = (number + 1..packets.len()).find(|later| !lost(*later));
        match later {
            Some(later) if recover => {
                let before = u16::try_from(later - number).unwrap();
                let (frame, recovery) = decoder.recover(&packets[later], before).unwrap();
                sound.extend(frame);
                how.push(recovery);
            }
            Some(_) | None => sound.extend(decoder.conceal(frame.samples(RATE_HZ)).unwrap()),
        }
    }
    (sound, how)
}

/// How alike the loudness of two sounds runs in 10 ms steps, in decibels of difference on average over the given frames: a
/// measure that survives DRED, which does not keep the waveform.
fn distance_db(a: &[f32], b: &[f32], frame: usize, frames: impl Iterator<Item = usize>) -> f32 {
    let level = |sound: &[f32]| 10.0 * (sound.iter().map(|s| s * s).sum::<f32>() / 480.0 + 1e-6).log10();
    let (mut sum, mut count) = (0.0, 0.0);
    for number in frames {
        for start in (number * frame..(number + 1) * frame).step_by(480) {
            sum += (level(&a[start..start + 480]) - level(&b[start..start + 480])).abs();
            count += 1.0;
        }
    }
    sum / count
}

/// Every fifth frame is lost, where somebody speaks.
fn single_losses(packets: &[Vec<u8>]) -> Vec<usize> {
    (20..packets.len() - 20).step_by(5).collect()
}

#[test]
fn speech_survives_every_frame_length_and_bit_rate() {
    let original = speech();
    for (bitrate, frame) in
        [(12_000, FrameMs::Ms60), (24_000, FrameMs::Ms20), (24_000, FrameMs::Ms40), (64_000, FrameMs::Ms20)]
    {
        let settings = EncoderSettings { expected_loss_percent: 0, ..settings(bitrate, frame) };
        let packets = packets(settings);
        let (sound, _) = decoded(&packets, frame, |_| false, true);
        assert_eq!(sound.len(), packets.len() * frame.samples(RATE_HZ));
        let bytes: usize = packets.iter().map(Vec::len).sum();
        let bits_per_second = bytes * 8 * 48_000 / sound.len();
        assert!(bits_per_second < usize::try_from(bitrate).unwrap() * 13 / 10, "{bits_per_second} bit/s of {bitrate}");
        // The codec's lookahead of 312 samples apart, loudness runs alike.
        let shifted = &sound[312..];
        let frames = 0..packets.len() - 1;
        let distance = distance_db(&original, shifted, frame.samples(RATE_HZ), frames);
        assert!(distance < 3.0, "{distance} dB at {bitrate} bit/s");
    }
}

#[test]
fn the_sound_comes_out_later_by_the_lookahead() {
    let mut encoder = Encoder::new(EncoderSettings::default()).unwrap();
    let mut decoder = Decoder::new(FrameMs::Ms20).unwrap();
    assert_eq!(encoder.lookahead(), 312);
    let mut sound = vec![0.0; 9_600];
    for (at, sample) in sound[4_800..].iter_mut().enumerate() {
        *sample = 0.5 * (f32::from(u16::try_from(at).unwrap()) * 0.05).sin();
    }
    let heard: Vec<f32> =
        sound.chunks(960).flat_map(|frame| decoder.decode(&encoder.encode(frame).unwrap()).unwrap()).collect();
    let onset = heard.iter().position(|sample| sample.abs() > 0.1).unwrap();
    assert!((4_800 + 312 - 120..4_800 + 312 + 240).contains(&onset), "{onset}");
}

#[test]
fn fec_brings_back_one_lost_frame() {
    let settings = EncoderSettings { dred: Duration::ZERO, ..settings(32_000, FrameMs::Ms20) };
    let packets = packets(settings);
    let losses = single_losses(&packets);
    let lost = |number: usize| losses.contains(&number);
    let (whole, _) = decoded(&packets, FrameMs::Ms20, |_| false, true);
    let (recovered, how) = decoded(&packets, FrameMs::Ms20, lost, true);
    let (concealed, _) = decoded(&packets, FrameMs::Ms20, lost, false);
    let by_fec = how.iter().filter(|how| **how == Recovery::Fec).count();
    assert!(by_fec * 10 >= how.len() * 8, "{by_fec} of {} losses by FEC", how.len());
    let with = distance_db(&whole, &recovered, 960, losses.iter().copied());
    let without = distance_db(&whole, &concealed, 960, losses.iter().copied());
    assert!(with < 0.75 * without, "FEC {with} dB, concealment {without} dB");
}

#[test]
fn dred_brings_back_five_lost_frames_in_a_row() {
    let packets = packets(settings(32_000, FrameMs::Ms20));
    // Five of every twenty frames, after the encoder has a history.
    let lost = |number: usize| number >= 40 && number % 20 < 5 && number + 20 < packets.len();
    let losses: Vec<usize> = (0..packets.len()).filter(|number| lost(*number)).collect();
    let (whole, _) = decoded(&packets, FrameMs::Ms20, |_| false, true);
    let (recovered, how) = decoded(&packets, FrameMs::Ms20, lost, true);
    let (concealed, _) = decoded(&packets, FrameMs::Ms20, lost, false);
    let back = how.iter().filter(|how| **how != Recovery::Concealed).count();
    assert!(back * 100 >= how.len() * 95, "{back} of {} lost frames came back", how.len());
    let with = distance_db(&whole, &recovered, 960, losses.iter().copied());
    let without = distance_db(&whole, &concealed, 960, losses.iter().copied());
    assert!(with < 0.6 * without, "DRED {with} dB, concealment {without} dB");
}

#[test]
fn what_is_not_a_packet_or_a_frame_is_refused() {
    let mut encoder = Encoder::new(EncoderSettings::default()).unwrap();
    assert_eq!(encoder.encode(&[0.0; 959]), Err(OpusError::Length { expected: 960, found: 959 }));
    let mut decoder = Decoder::new(FrameMs::Ms20).unwrap();
    assert_eq!(decoder.decode(&[]), Err(OpusError::Packet(0)));
    assert_eq!(decoder.decode(&[0; 1_276]), Err(OpusError::Packet(1_276)));
    assert!(decoder.conceal(0).is_err() && decoder.conceal(121).is_err() && decoder.conceal(3_000).is_err());
    for bitrate in [5_999, 128_001] {
        assert!(Encoder::new(EncoderSettings { bitrate: Bitrate(bitrate), ..EncoderSettings::default() }).is_err());
    }
    assert!(Encoder::new(EncoderSettings { complexity: 11, ..EncoderSettings::default() }).is_err());
    assert!(Encoder::new(EncoderSettings { expected_loss_percent: 101, ..EncoderSettings::default() }).is_err());
    assert!(Encoder::new(EncoderSettings { dred: Duration::from_secs(2), ..EncoderSettings::default() }).is_err());
}

proptest::proptest! {
    #[test]
    fn any_bytes_decode_or_are_refused(
        packets in proptest::collection::vec(proptest::collection::vec(proptest::num::u8::ANY, 0..200), 1..6),
        before in 1_u16..60,
    ) {
        let mut decoder = Decoder::new(FrameMs::Ms20).unwrap();
        for packet in &packets {
            if let Ok((sound, _)) = decoder.recover(packet, before) {
                proptest::prop_assert_eq!(sound.len(), 960);
            }
            if let Ok(sound) = decoder.decode(packet) {
                proptest::prop_assert!(sound.len() <= 2_880);
            }
        }
    }
}
