//! `./x trust`: makes this machine and its browsers trust the root certificate of the local server.

use anyhow::{Result, bail};

use crate::setup::Purpose;
use crate::{build, passed_on, setup, sh};

/// Hands over to `hollerd trust`, which knows where the root is and says what it changes.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    setup::ensure(&[Purpose::Trust])?;
    if !build::binary("hollerd").exists() {
        bail!("the server has not been built and started yet: `./x run` does both and makes the root certificate");
    }
    sh::run(sh::program(build::binary("hollerd")).arg("trust").args(passed_on(arguments)))
}
