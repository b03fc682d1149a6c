//! `./x clean`: removes what builds left behind.

use anyhow::Result;

use crate::sh;

/// Removes the target folder. Data and keys stay: they are no build product.
pub(crate) fn run(_arguments: &[String]) -> Result<()> {
    sh::run(sh::cargo().arg("clean"))
}
