//! `holler login`

use std::io::{BufRead, Write};
use std::path::PathBuf;

use holler_client::client::sign_in;
use serde_json::json;

use crate::args::{Common, Login};
use crate::exit::{Code, Failure};
use crate::output::Out;
use crate::profile;

pub(crate) async fn run(common: &Common, args: Login, out: Out) -> Result<(), Failure> {
    let store = profile::store(common)?;
    let ca = ca(args.ca)?;
    let user = match args.user {
        Some(user) => user,
        None if args.password_stdin => {
            return Err(Failure::new(Code::Usage, "with --password-stdin, say who signs in: --user NAME"));
        }
        None => {
            let _ = write!(std::io::stderr(), "Name: ");
            line()?
        }
    };
    let password = if args.password_stdin { line()? } else { password("Password: ")? };
    let device = args.device_name.unwrap_or_else(host_name);
    let signed = sign_in(&store, &args.url, ca, &user, password, device).await.map_err(profile::failure);
    // A wrong password is a refusal here; to say "sign in" again would be no help.
    let signed = signed.map_err(Failure::without_advice)?;
    // To be named while there is no connection. Where that fails now, the first command that asks for a room makes up for it.
    if let Ok(rest) = profile::rest(&store).await
        && let Ok(rooms) = rest.rooms().await
    {
        store.set_rooms(&rooms).map_err(|error| Failure::from((Code::Fault, error)))?;
    }
    let value = json!({ "server": signed.server, "login": signed.login, "user": signed.user, "device": signed.device });
    out.say("signed-in", value, || format!("signed in at {} as {}", signed.server, signed.login));
    Ok(())
}

/// A root certificate that is named on the command line; other folders will be current when the profile is used.
pub(super) fn ca(file: Option<PathBuf>) -> Result<Option<PathBuf>, Failure> {
    let Some(path) = file else { return Ok(None) };
    path.canonicalize().map(Some).map_err(|error| {
        Failure::new(Code::Usage, format!("{}: {error}; give the root certificate as a PEM file", path.display()))
    })
}

/// Asks for a password on the terminal.
pub(super) fn password(prompt: &str) -> Result<String, Failure> {
    rpassword::prompt_password(prompt).map_err(|error| {
        Failure::new(Code::Usage, format!("no terminal to ask for the password ({error}); use --password-stdin"))
    })
}

pub(super) fn line() -> Result<String, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().lock().read_line(&mut text);
    match read {
        Ok(0) => Err(Failure::new(Code::Usage, "standard input ended before the password")),
        Ok(_) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
        Err(error) => Err(Failure::new(Code::Fault, format!("standard input: {error}"))),
    }
}

pub(super) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().take(60).collect();
    if name.is_empty() { "holler".to_owned() } else { format!("holler on {name}") }
}
