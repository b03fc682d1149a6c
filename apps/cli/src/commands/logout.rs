//! `holler logout`

use serde_json::json;

use crate::args::Common;
use crate::exit::{Code, Failure};
use crate::output::Out;
use crate::profile;

pub(crate) async fn run(common: &Common, out: Out) -> Result<(), Failure> {
    let store = profile::store(common)?;
    let told = match profile::rest(&store).await {
        Ok(rest) => rest.sign_out().await.map_err(|error| profile::rest_failure(&error)),
        Err(failure) => Err(failure),
    };
    store.set_profile(None).map_err(|error| Failure::from((Code::Fault, error)))?;
    match told {
        // The server knows nothing of this sign-in any more, which is what was wanted.
        Err(failure) if failure.code != Code::SignIn => Err(Failure::new(
            failure.code,
            format!(
                "signed out here, but the server could not be told: {}; its tokens end by themselves",
                failure.message
            ),
        )),
        Ok(()) | Err(_) => {
            out.say("signed-out", json!({}), || "signed out".to_owned());
            Ok(())
        }
    }
}
