//! `./x setup`: what the builds and tests need from the system, why, and how to get it.

use std::io::{IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::check::pure;
use crate::{browser, sh};

/// What something is needed for; a task asks only for its own purposes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Building the server and the clients.
    Build,
    /// The browser test in Firefox.
    Firefox,
    /// Making browsers trust the local root.
    Trust,
    /// Building for WebAssembly.
    Web,
    /// Testing the web client in a browser.
    Browser,
    /// Measuring beside other servers.
    Peers,
}

struct Need {
    what: &'static str,
    why: &'static str,
    purpose: Purpose,
    /// Debian's packages; elsewhere they are named as a hint.
    packages: &'static [&'static str],
    present: fn() -> bool,
}

const NEEDS: &[Need] = &[
    Need {
        what: "a C compiler",
        why: "to link, and to compile SQLite, libopus and the TLS primitives",
        purpose: Purpose::Build,
        packages: &["gcc", "libc6-dev"],
        present: || sh::on_path("cc"),
    },
    Need {
        what: "cmake and make",
        why: "libopus is built with them",
        purpose: Purpose::Build,
        packages: &["cmake", "make"],
        present: || sh::on_path("cmake") && sh::on_path("make"),
    },
    Need {
        what: "pkg-config and ALSA's headers",
        why: "the native client captures and plays sound through ALSA",
        purpose: Purpose::Build,
        packages: &["pkg-config", "libasound2-dev"],
        present: || !cfg!(target_os = "linux") || sh::succeeds(sh::program("pkg-config").args(["--exists", "alsa"])),
    },
    Need {
        what: "certutil",
        why: "`./x trust` puts the local root into the browsers' certificate stores with it",
        purpose: Purpose::Trust,
        packages: &["libnss3-tools"],
        present: || !cfg!(target_os = "linux") || sh::on_path("certutil"),
    },
    Need {
        what: "node and npm",
        why: "the browser tests drive the browsers with playwright-core and puppeteer-core, which run in node",
        purpose: Purpose::Browser,
        packages: &["nodejs", "npm"],
        present: || sh::on_path("node") && sh::on_path("npm"),
    },
    Need {
        what: "Chromium",
        why: "the web client is tested in a real browser",
        purpose: Purpose::Browser,
        packages: &["chromium"],
        present: || browser::chromium().is_some(),
    },
    Need {
        what: "nats-server",
        why: "one message to a thousand is measured beside it; its package starts it as a service, too",
        purpose: Purpose::Peers,
        packages: &["nats-server"],
        present: || server("nats-server"),
    },
    Need {
        what: "redis-server",
        why: "one message to a thousand is measured beside it; its package starts it as a service, too",
        purpose: Purpose::Peers,
        packages: &["redis-server"],
        present: || server("redis-server"),
    },
    Need {
        what: "mosquitto",
        why: "idle connections are measured beside it; its package starts it as a service, too",
        purpose: Purpose::Peers,
        packages: &["mosquitto"],
        present: || server("mosquitto"),
    },
    Need {
        what: "murmurd",
        why: "voice to many is measured beside it; its package starts it as a service, too",
        purpose: Purpose::Peers,
        packages: &["mumble-server"],
        present: || server("murmurd"),
    },
    Need {
        what: "Firefox",
        why: "`./x firefox` tests the web client in it",
        purpose: Purpose::Firefox,
        packages: &["firefox-esr"],
        present: || browser::firefox().is_some(),
    },
    Need {
        what: "PulseAudio",
        why: "Firefox plays and records through it where there is no sound card",
        purpose: Purpose::Firefox,
        packages: &["pulseaudio", "pulseaudio-utils"],
        present: || ["pulseaudio", "pactl", "paplay"].into_iter().all(sh::on_path),
    },
    Need {
        what: "Rust's standard library for WebAssembly",
        why: "the core must build for browsers; rustup could not add wasm32-unknown-unknown, Debian's sources serve",
        purpose: Purpose::Web,
        packages: &["rustc-web", "cargo-web", "rust-web-src"],
        present: || pure::route().is_some(),
    },
];

/// Is there a server of that name? Debian puts them where only root looks.
fn server(name: &str) -> bool {
    sh::on_path(name) || ["/usr/sbin", "/usr/local/sbin"].iter().any(|folder| Path::new(folder).join(name).is_file())
}

/// Installs everything that any task needs; with `--check` only says what is missing.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let all = [Purpose::Build, Purpose::Trust, Purpose::Web, Purpose::Browser];
    match arguments {
        [] => {
            ensure(&all)?;
            println!("nothing is missing");
            Ok(())
        }
        [flag] if flag == "--check" => {
            let missing = missing(&all);
            for need in NEEDS.iter().filter(|need| all.contains(&need.purpose)) {
                let state = if missing.iter().any(|m| m.what == need.what) { "missing" } else { "here" };
                println!("{state:<8} {:<40} {}", need.what, need.why);
            }
            if missing.is_empty() { Ok(()) } else { bail!("something is missing; `./x setup` installs it") }
        }
        _ => bail!("setup takes nothing or --check"),
    }
}

/// Installs what these purposes need and is not here.
pub(crate) fn ensure(purposes: &[Purpose]) -> Result<()> {
    if purposes.contains(&Purpose::Web) {
        pure::add_target();
    }
    let missing = missing(purposes);
    if missing.is_empty() {
        return Ok(());
    }
    println!("missing on this machine:");
    for need in &missing {
        println!("  {}: {} (Debian: {})", need.what, need.why, need.packages.join(" "));
    }
    let packages: Vec<&str> = missing.iter().flat_map(|need| need.packages).copied().collect();
    if !sh::on_path("apt-get") {
        bail!("please install these, or your system's equivalents, then run this again");
    }
    install(&packages)?;
    if let Some(need) = self::missing(purposes).first() {
        bail!("{} is still missing after the installation of {}", need.what, need.packages.join(" "));
    }
    Ok(())
}

/// Names what is not here of these purposes, why it would be good to have, and what to do.
pub(crate) fn say_missing(purposes: &[Purpose], remedy: &str) {
    let missing = missing(purposes);
    for need in &missing {
        eprintln!("not here: {}: {} (Debian: {})", need.what, need.why, need.packages.join(" "));
    }
    if !missing.is_empty() {
        eprintln!("{remedy}");
    }
}

fn missing(purposes: &[Purpose]) -> Vec<&'static Need> {
    NEEDS.iter().filter(|need| purposes.contains(&need.purpose) && !(need.present)()).collect()
}

fn install(packages: &[&str]) -> Result<()> {
    let root = sh::output(sh::program("id").arg("-u"))?.trim() == "0";
    let mut apt: Vec<&str> = Vec::new();
    let asks = std::io::stdin().is_terminal() && !sh::in_ci();
    if !root {
        // Without a terminal there is nobody to type a password.
        let allowed = asks || sh::succeeds(sh::program("sudo").args(["-n", "true"]));
        if !sh::on_path("sudo") || !allowed {
            bail!("run this as root, then try again: apt-get install {}", packages.join(" "));
        }
        apt.push("sudo");
    }
    if asks && !agreed()? {
        bail!("nothing was installed; by hand: apt-get install {}", packages.join(" "));
    }
    apt.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-o=Dpkg::Use-Pty=0"]);
    let command = |tail: &[&str]| {
        let mut command = sh::program(apt[0]);
        command.args(&apt[1..]).args(tail);
        command
    };
    if let Err(error) = sh::run(&mut command(&["update"])) {
        println!("{error:#}; trying with the package lists that are here");
    }
    let mut tail = vec!["install", "-y", "--no-install-recommends"];
    tail.extend(packages);
    sh::run(&mut command(&tail))
}

fn agreed() -> Result<bool> {
    print!("install with apt-get now? [Y/n] ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("no answer could be read")?;
    Ok(!answer.trim_start().to_lowercase().starts_with('n'))
}
