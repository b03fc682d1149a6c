//! `holler join` and `holler reset`: what a link is for.

use std::io::Write;

use holler_client::join::{Link, Newcomer};
use holler_client::store::Profile;
use serde_json::json;

use super::login::{ca, host_name, line, password};
use crate::args::{Common, Join, Reset};
use crate::exit::{Code, Failure};
use crate::output::Out;
use crate::profile;

pub(crate) async fn run(common: &Common, args: Join, out: Out) -> Result<(), Failure> {
    let store = profile::store(common)?;
    let link = link(&args.link, "invite", args.ca)?;
    let offer = link.offer().await.map_err(profile::failure)?;
    let rooms: Vec<&str> = offer.rooms.iter().map(|room| room.name.as_str()).collect();
    out.note("offer", json!({ "workspace": offer.workspace_name, "rooms": rooms }), || {
        let rooms = if rooms.is_empty() { "no room yet".to_owned() } else { rooms.join(", ") };
        format!("an invite to {} at {}: {rooms}", offer.workspace_name, link.server())
    });
    let login = match args.user {
        Some(login) => login,
        None if args.password_stdin => {
            return Err(Failure::new(
                Code::Usage,
                "with --password-stdin, say which sign-in name to have: --user NAME",
            ));
        }
        None => {
            let _ = write!(std::io::stderr(), "Sign-in name to have: ");
            line()?
        }
    };
    let who = Newcomer {
        name: args.name.unwrap_or_else(|| login.clone()),
        login,
        password: new_password(args.password_stdin)?,
        device_name: args.device_name.unwrap_or_else(host_name),
    };
    said(&link.join(&store, who).await.map_err(profile::failure)?, out);
    Ok(())
}

pub(crate) async fn reset(common: &Common, args: Reset, out: Out) -> Result<(), Failure> {
    let store = profile::store(common)?;
    let link = link(&args.link, "reset", args.ca)?;
    let password = new_password(args.password_stdin)?;
    let signed = link.reset(&store, password, args.device_name.unwrap_or_else(host_name)).await;
    // To say "sign in" where the link is not good would be no help.
    let signed = signed.map_err(|error| profile::failure(error).without_advice())?;
    said(&signed, out);
    Ok(())
}

fn link(text: &str, page: &str, certificate: Option<std::path::PathBuf>) -> Result<Link, Failure> {
    Link::parse(text, page, ca(certificate)?).map_err(|_| {
        let detail = format!("expected a link like https://holler.example/{page}#…; put it in quotes");
        Failure::new(Code::Usage, detail)
    })
}

fn new_password(from_stdin: bool) -> Result<String, Failure> {
    if from_stdin {
        return line();
    }
    let first = password("New password: ")?;
    if first == password("Again: ")? { Ok(first) } else { Err(Failure::new(Code::Usage, "the two passwords differ")) }
}

fn said(signed: &Profile, out: Out) {
    let value = json!({ "server": signed.server, "login": signed.login, "user": signed.user, "device": signed.device });
    out.say("signed-in", value, || format!("signed in at {} as {}", signed.server, signed.login));
}
