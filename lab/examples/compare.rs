//! Prints what became of an original in a recording: `compare ORIGINAL.wav RECORDING.wav`.
#![expect(clippy::print_stdout, reason = "a tool for the hand")]

use std::path::PathBuf;

use anyhow::{Context, Result};
use holler_client::audio::wav;

fn main() -> Result<()> {
    let mut files = std::env::args_os().skip(1).map(PathBuf::from);
    let original = wav::read(&files.next().context("name the original")?)?;
    let heard = wav::read(&files.next().context("name the recording")?)?;
    println!("{:#?}", holler_lab::similarity::compare(&original, &heard));
    Ok(())
}
