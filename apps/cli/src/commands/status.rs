//! `holler status`

use holler_client::audio::devices;
use holler_client::clock;
use holler_client::store::QueuedItem;
use serde_json::json;

use crate::args::{Common, Status};
use crate::exit::{Code, Failure};
use crate::output::Out;
use crate::profile;

pub(crate) async fn run(common: &Common, args: &Status, out: Out) -> Result<(), Failure> {
    if args.devices {
        list(out)?;
    }
    let store = profile::store(common)?;
    let queue = store.queue().map_err(|error| Failure::from((Code::Fault, error)))?;
    let held = queue.iter().filter(|queued| queued.held).count();
    let texts = queue.iter().filter(|queued| matches!(queued.item, QueuedItem::Text { .. })).count();
    let bursts = queue.len() - texts - held;
    let signed = store.profile().map_err(|error| Failure::from((Code::Fault, error)))?;
    let Some(signed) = signed else {
        return Err(Failure::new(Code::SignIn, "nobody is signed in here; sign in with: holler login URL"));
    };
    let begun = clock::now();
    let me = match profile::rest(&store).await {
        Ok(rest) => rest.me().await.map_err(|error| profile::rest_failure(&error)),
        Err(failure) => Err(failure),
    };
    let took_ms = clock::now().since(begun).as_secs_f64() * 1_000.0;
    let value = json!({
        "profile": common.profile, "server": signed.server, "login": signed.login, "user": signed.user,
        "device": signed.device, "reachable": me.is_ok(), "answer_ms": me.is_ok().then_some(took_ms),
        "waiting_texts": texts, "waiting_bursts": bursts, "held_bursts": held,
    });
    out.say("status", value, || {
        let server = match &me {
            Ok(_) => format!("answers in {took_ms:.0} ms"),
            Err(failure) => failure.message.clone(),
        };
        let waiting = match (texts, bursts) {
            (0, 0) => "nothing".to_owned(),
            (texts, bursts) => {
                format!("{texts} texts, {bursts} bursts; they go out with the next command that connects")
            }
        };
        format!(
            "profile   {}\nserver    {}: {server}\nsigned in {} (device {})\nwaiting   {waiting}",
            common.profile, signed.server, signed.login, signed.device
        )
    });
    me.map(drop)
}

fn list(out: Out) -> Result<(), Failure> {
    for (what, found) in [("microphone", devices::microphones()), ("speaker", devices::speakers())] {
        for device in found.map_err(|error| Failure::from((Code::Fault, error)))? {
            let value = json!({ "id": device.id, "name": device.name, "default": device.default });
            out.say(what, value, || {
                let default = if device.default { "  (default)" } else { "" };
                format!("{what:<10} {:<32} {}{default}", device.id, device.name)
            });
        }
    }
    Ok(())
}
