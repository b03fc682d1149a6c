//! `./x run`: builds the server and starts it on <https://localhost:8443>.

use std::os::unix::process::CommandExt as _;
use std::path::Path;

use anyhow::{Context, Result};

use crate::setup::Purpose;
use crate::{build, passed_on, setup, sh, web};

const DATA: &str = "./data";

/// Builds, says what a first visitor should know, and becomes the server, so that ^C reaches it undelayed.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    setup::ensure(&[Purpose::Build, Purpose::Web])?;
    web::build()?;
    build::release()?;
    let hollerd = build::binary("hollerd");
    let folder = std::path::absolute(hollerd.parent().context("no folder of builds")?)?;
    println!("\nholler and hollerd are in {}; for another terminal:", folder.display());
    println!("    export PATH=\"{}:$PATH\"", folder.display());
    if !Path::new(DATA).join("holler.db").exists() {
        println!(
            "This server is about to make its own root certificate. When it is up, run `./x trust` there once, so that neither\n\
             browsers nor the command line warn of it."
        );
    }
    let mut server = sh::program(hollerd);
    server.args(["serve", "--data", DATA]).args(passed_on(arguments));
    println!("$ {}", sh::shown(&server));
    Err(server.exec()).context("the server did not start")
}
