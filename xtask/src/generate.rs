//! `./x generate`: writes the files that are generated from the code. A test of the server compares them with it.

use anyhow::{Context, Result};

use crate::setup::{self, Purpose};
use crate::sh;

/// What `hollerd` prints, and where a copy of it is kept.
const GENERATED: &[(&str, &str)] = &[("openapi", "docs/openapi.json"), ("socket-schema", "docs/socket.schema.json")];

/// Writes every file anew.
pub(crate) fn run(_arguments: &[String]) -> Result<()> {
    setup::ensure(&[Purpose::Build])?;
    for (command, path) in GENERATED {
        let mut hollerd = sh::cargo();
        let text = sh::output(hollerd.args(["run", "--quiet", "--locked", "-p", "holler-server", "--", command]))?;
        std::fs::write(path, text).with_context(|| format!("{path} can't be written"))?;
        println!("wrote {path}");
    }
    Ok(())
}
