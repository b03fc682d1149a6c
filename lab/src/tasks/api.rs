//! `./x lab api`: the REST interface against its own description, by schemathesis.
//!
//! A server of its own is asked everything that its OpenAPI document describes, with values inside the described bounds and outside
//! them, each operation alone and, by the links between them, in sequences. No answer may be a fault of the server, have a status,
//! a media type, a field or a body that the document does not describe, or take what the document forbids.
//!
//! Schemathesis is a Python program: with `python3` and `pip` it is installed, at the version below, into a folder of its own under
//! the user's caches.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use holler_client::rest::{self, Rest};
use holler_client::trust;
use holler_core::model::Scope;

use super::say;
use super::upgrade::{PATIENCE, ROOM, recording};
use crate::programs::{self, Server};
use crate::python;

const SCHEMATHESIS: &str = "4.32.5";
/// A well-formed request may be refused all the same: no generator makes up a cursor or a link that this server gave out, a key is
/// taken for one request only, and passwords obey the policy. And what was just created may be gone: where an `Idempotency-Key`
/// comes again, the first answer does too, whatever became of the thing since.
const NOT_CHECKED: &str = "positive_data_acceptance,ensure_resource_availability";
/// These can end the token that they are asked with, or the room that the others are about: each is tried by itself, with a token of
/// its own, and the room last.
const ENDERS: [&str; 9] = [
    "sign_out",
    "change_password",
    "change_user",
    "erase_user",
    "revoke_device",
    "revoke_token",
    "revoke_user_devices",
    "use_reset",
    "delete_room",
];
/// Enough that the server's quota of requests is never what is tested.
const QUOTA: &str = "1000000";

/// What `api` takes.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The most random requests to each operation, besides those at every bound
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    pub cases: u32,
    /// What the random requests follow from [default: another at each run; it is printed]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Where hollerd and holler are [default: beside this program]
    #[arg(long, value_name = "FOLDER")]
    pub programs: Option<PathBuf>,
}

/// Runs it.
pub(super) fn run(options: &Options) -> Result<bool> {
    let schemathesis = installed()?;
    let programs = programs::folder(options.programs.as_deref())?;
    let scratch = tempfile::tempdir()?;
    let quota = [("HOLLER_LIMITS__DEVICE_REQUESTS", QUOTA), ("HOLLER_LIMITS__ADDRESS_REQUESTS", QUOTA)];
    let server = Server::start_with(&programs, scratch.path(), &quota)?;
    let seed = options.seed.map_or_else(random, Ok)?;
    say(&format!("seed {seed}"));
    let settings = scratch.path().join("schemathesis.toml");
    fs::write(&settings, known(&server, scratch.path())?)?;

    let ask = |token: &str, flag: &str, operations: &[&str]| -> Result<bool> {
        let mut command = Command::new(&schemathesis);
        command.current_dir(scratch.path()).arg("--config-file").arg(&settings);
        command.arg("run").arg(format!("{}/api/v1/openapi.json", server.url()));
        command.arg("--tls-verify").arg(server.root()).args(["--header", &format!("Authorization: Bearer {token}")]);
        command.args(["--exclude-checks", NOT_CHECKED, "--continue-on-failure", "--workers", "1"]);
        command.args(["--warnings", "off"]);
        command.args(["--max-examples", &options.cases.to_string(), "--seed", &seed.to_string()]);
        for operation in operations {
            command.args([flag, operation]);
        }
        Ok(command.status().context("running schemathesis")?.success())
    };
    // Beforehand: afterwards this user has as many tokens as one may have.
    let ends = ENDERS.map(|operation| server.token("admin", Scope::ALL).map(|token| (operation, token)));
    let token = server.token("admin", Scope::ALL)?;
    let mut held = ask(&token, "--exclude-operation-id", &ENDERS)?;
    // Whoever asked with a token that was ended meanwhile was told 401 and proved nothing.
    accepted(&server, token).context("the token was ended meanwhile: what came after proved nothing")?;
    for end in ends {
        let (operation, token) = end?;
        held &= ask(&token, "--include-operation-id", &[operation])?;
    }
    server.stop()?;
    Ok(held)
}

/// Names what is there, a room with a burst and a message in it, so that not every request is about something unknown.
fn known(server: &Server, scratch: &Path) -> Result<String> {
    server.add_user("ada", ROOM)?;
    server.set_role("admin", ROOM, "admin")?;
    let speech = scratch.join("speech.wav");
    recording(&speech, Duration::from_millis(400))?;
    server.client("ada", &["send", ROOM, "Gate four is open."])?.finish(PATIENCE)?;
    let talk = server.client("ada", &["talk", ROOM, programs::text(&speech)?])?.finish(PATIENCE)?;
    let burst = talk.iter().find_map(|line| line["burst"].as_str()).context("holler talk named no burst")?;
    let rooms = server.client("ada", &["rooms"])?.finish(PATIENCE)?;
    let room = rooms.iter().find(|line| line["name"] == ROOM).and_then(|line| line["room"].as_str());
    let room = room.with_context(|| format!("holler rooms does not list {ROOM}"))?;
    Ok(format!("[parameters]\n\"path.room\" = \"{room}\"\n\"path.burst\" = \"{burst}\"\n\"path.seq\" = 1\n"))
}

#[tokio::main(flavor = "current_thread")]
async fn accepted(server: &Server, token: String) -> Result<()> {
    let rest = Rest::new(rest::address(server.url())?, &*trust::client_config(Some(server.root()))?)?;
    rest.set_token(token);
    rest.me().await?;
    Ok(())
}

fn random() -> Result<u64> {
    Ok(u64::from(getrandom::u32()?))
}

/// The program, installed where it is not yet.
fn installed() -> Result<PathBuf> {
    let package = format!("schemathesis=={SCHEMATHESIS}");
    python::with(&format!("schemathesis-{SCHEMATHESIS}"), &[package], "bin/schemathesis")
}
