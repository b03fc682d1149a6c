//! `./x run`: builds the server and starts it on <https://localhost:8443>.

use std::os::unix::process::CommandExt as _;
use std::path::Path;

use anyhow::{Context, Result};

use crate::setup::Purpose;
use crate::{build, passed_on, setup, sh};

const DATA: &str = "./data";

/// Builds, says what a first visitor should know, and becomes the server, so that ^C reaches it undelayed.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    setup::ensure(&[Purpose::Build])?;
    build::release()?;
    let first = !Path::new(DATA).join("holler.db").exists();
    println!("\nserver  {}", build::binary("hollerd").display());
    println!("client  {}", build::binary("holler").display());
    println!("data    {DATA} (keys are kept outside it; the server says where)");
    if first {
        println!(
            "\nThis server makes its own root certificate. So that browsers and the command line client accept it without a\n\
             warning, run this once in another terminal, when the server is up:\n\n    ./x trust\n"
        );
    }
    let mut server = sh::program(build::binary("hollerd"));
    server.args(["serve", "--data", DATA]).args(passed_on(arguments));
    println!("$ {}", sh::shown(&server));
    Err(server.exec()).context("the server did not start")
}
