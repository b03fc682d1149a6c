use super::*;

fn speech(name: &str) -> Vec<f32> {
    let path = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures")).join(name);
    holler_client::audio::wav::read(&path).unwrap()
}

fn noise(count: usize) -> Vec<f32> {
    let mut seed = 7_u32;
    (0..count)
        .map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from(u16::try_from(seed >> 16).unwrap()) / 65_536.0 - 0.5
        })
        .collect()
}

fn ms(milliseconds: usize) -> usize {
    milliseconds * 48
}

#[test]
fn the_same_sound_is_whole_and_alike() {
    let original = speech("speech-a.wav");
    let result = compare(&original, &original);
    assert!(result.similarity > 0.999, "{result:?}");
    assert_eq!((result.clipped_start_ms, result.clipped_end_ms), (0.0, 0.0));
    assert!(result.missing_ms.is_empty() && result.delay_ms.abs() < 1.0, "{result:?}");
}

#[test]
fn a_delay_is_found_and_costs_nothing() {
    let original = speech("speech-b.wav");
    let mut heard = vec![0.0; ms(250)];
    heard.extend(&original);
    let result = compare(&original, &heard);
    assert!((result.delay_ms - 250.0).abs() < 1.0, "{result:?}");
    assert!(result.similarity > 0.99 && result.missing_ms.is_empty(), "{result:?}");
}

#[test]
fn shortened_pauses_do_not_count_as_loss() {
    let original = speech("speech-b.wav");
    // A delay of 100 ms that shrinks by 10 ms ten times, where it is quietest in each half second.
    let mut heard = vec![0.0; ms(100)];
    for half in original.chunks(ms(500)) {
        let energy = |at: usize| half[at..at + ms(10)].iter().map(|s| s * s).sum::<f32>();
        let quiet = (0..half.len() - ms(10)).step_by(48).min_by(|a, b| energy(*a).total_cmp(&energy(*b))).unwrap();
        heard.extend(&half[..quiet]);
        heard.extend(&half[quiet + ms(10)..]);
    }
    let result = compare(&original, &heard);
    assert!(result.missing_total_ms() <= 20.0, "{result:?}");
    assert!(result.similarity > 0.95, "{result:?}");
}

#[test]
fn a_clipped_beginning_a_clipped_end_and_a_gap_are_measured() {
    let original = speech("speech-a.wav");
    let whole = compare(&original, &original);
    assert!(whole.missing_ms.is_empty());
    let cut = |from: usize, to: usize| {
        let mut heard = original.clone();
        heard[ms(from)..ms(to)].fill(0.0);
        compare(&original, &heard)
    };
    let start = compare(&original, &original[ms(800)..]);
    assert!((200.0..=800.0).contains(&start.clipped_start_ms), "{start:?}");
    assert!((start.delay_ms + 800.0).abs() < 2.0, "{start:?}");
    let end = compare(&original, &original[..original.len() - ms(800)]);
    assert!((200.0..=800.0).contains(&end.clipped_end_ms), "{end:?}");
    let gap = cut(2_500, 2_900);
    assert!((200.0..=420.0).contains(&gap.missing_total_ms()), "{gap:?}");
    assert!(gap.similarity < whole.similarity - 0.03, "{gap:?}");
}

#[test]
fn dropped_frames_lower_the_figure() {
    let original = speech("speech-a.wav");
    let mut heard = original.clone();
    for frame in (0..heard.len() / 960).filter(|frame| frame * 7 % 5 == 0) {
        heard[frame * 960..(frame + 1) * 960].fill(0.0);
    }
    let result = compare(&original, &heard);
    assert!((0.7..0.92).contains(&result.similarity), "{result:?}");
}

#[test]
fn other_speech_and_noise_are_unlike() {
    let original = speech("speech-a.wav");
    let other = compare(&original, &speech("speech-b.wav"));
    assert!(other.similarity < 0.2, "{other:?}");
    let noise = compare(&original, &noise(original.len()));
    assert!(noise.similarity < 0.45, "{noise:?}");
    assert_eq!(compare(&original, &[]).similarity, 0.0);
    assert_eq!(compare(&[], &original).similarity, 0.0);
}

/// The same two sounds gave 0.9139 with pystoi 0.4.1 (PyPI), tried by hand; it resamples and frames a little differently.
#[test]
fn the_figure_agrees_with_pystoi() {
    let original = spectrum::to_10_khz(&speech("speech-a.wav"));
    let noise = spectrum::to_10_khz(&noise(original.len() * 24 / 5));
    let noisy: Vec<f64> = original.iter().zip(&noise).map(|(s, n)| s + 0.1 * n).collect();
    let found = stoi(&original, &noisy);
    assert!((found - 0.9139).abs() < 0.003, "{found}");
}
