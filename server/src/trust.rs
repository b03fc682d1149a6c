//! `hollerd trust`: makes the local CA known to this machine and its browsers.
//!
//! There is no one place for that. The system's store serves command line tools; Chromium and Firefox bring NSS databases of
//! their own, which `certutil` writes. Each place is a [`Step`] with its outcome, so that a person sees what was done and what
//! is left to do: without root, the system's store is left alone and the commands for it are named.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};

/// What became of one trust store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The store, for people.
    pub store: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a trust store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The root is known there now.
    Added,
    /// The root is not known there any more.
    Removed,
    /// There was nothing to remove.
    WasNotThere,
    /// Somebody with the right to must run these commands.
    NeedsRoot(Vec<String>),
    /// A program is missing.
    Missing {
        /// The program.
        program: &'static str,
        /// What to install.
        advice: &'static str,
    },
    /// It did not work.
    Failed(String),
    /// This system's store is not known here.
    Unsupported(String),
}

impl Outcome {
    /// Whether nothing is left to do.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Added | Self::Removed | Self::WasNotThere)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.store)?;
        match &self.outcome {
            Outcome::Added => f.write_str("trusts the local CA now"),
            Outcome::Removed => f.write_str("no longer trusts the local CA"),
            Outcome::WasNotThere => f.write_str("did not know the local CA"),
            Outcome::NeedsRoot(commands) => {
                f.write_str("needs root; run")?;
                commands.iter().try_for_each(|command| write!(f, "\n    sudo {command}"))
            }
            Outcome::Missing { program, advice } => write!(f, "{program} is missing: {advice}, then run this again"),
            Outcome::Failed(why) => write!(f, "failed: {why}"),
            Outcome::Unsupported(advice) => f.write_str(advice),
        }
    }
}

/// The machine whose stores are written.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Where the system's files are: `/`.
    pub root: PathBuf,
    /// The home folder whose browsers are told.
    pub home: Option<PathBuf>,
    /// Whether the system's store may be written.
    pub is_root: bool,
}

impl Machine {
    /// This machine, as this process may change it.
    pub fn this() -> Self {
        Self {
            root: PathBuf::from("/"),
            home: std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from),
            is_root: rustix::process::geteuid().is_root(),
        }
    }
}

/// Why nothing was tried.
#[derive(Debug, thiserror::Error)]
#[error("{path}: expected the local CA's certificate: {reason}; start the server once to have it made")]
pub struct TrustError {
    path: PathBuf,
    reason: String,
}

/// A root certificate in a file.
struct Root<'a> {
    path: &'a Path,
    pem: String,
    /// The first 8 hexadecimal digits of its SHA-256: tells the roots of several servers apart.
    print: String,
}

impl Root<'_> {
    fn nickname(&self) -> String {
        format!("Holler local CA {}", self.print)
    }

    fn file_name(&self) -> String {
        format!("holler-local-ca-{}.crt", self.print)
    }
}

/// Makes the root in the file `ca` known to every store of `machine`, or takes it out again.
pub fn run(ca: &Path, remove: bool, machine: &Machine) -> Result<Vec<Step>, TrustError> {
    let error = |reason: String| TrustError { path: ca.to_owned(), reason };
    let pem = std::fs::read_to_string(ca).map_err(|source| error(source.to_string()))?;
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|source| error(source.to_string()))?;
    let print = Sha256::digest(&der).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let root = Root { path: ca, pem, print };
    let mut steps = vec![system(&root, remove, machine)];
    steps.extend(browsers(&root, remove, machine));
    Ok(steps)
}

/// A system's store: a folder for roots, and the program that takes them over.
struct SystemStore {
    name: &'static str,
    folder: &'static str,
    update: &'static [&'static str],
    /// The same after a root was taken out, where that differs.
    update_removed: &'static [&'static str],
}

/// Tried in this order: the folder tells them apart.
const SYSTEM_STORES: &[SystemStore] = &[
    SystemStore {
        name: "system (Fedora, RHEL)",
        folder: "etc/pki/ca-trust/source/anchors",
        update: &["update-ca-trust", "extract"],
        update_removed: &["update-ca-trust", "extract"],
    },
    SystemStore {
        name: "system (Debian, Ubuntu)",
        folder: "usr/local/share/ca-certificates",
        update: &["update-ca-certificates"],
        // Otherwise the link to the removed file stays, and with it the root in the bundle.
        update_removed: &["update-ca-certificates", "--fresh"],
    },
    SystemStore {
        name: "system (Arch)",
        folder: "etc/ca-certificates/trust-source/anchors",
        update: &["trust", "extract-compat"],
        update_removed: &["trust", "extract-compat"],
    },
    SystemStore {
        name: "system (openSUSE)",
        folder: "usr/share/pki/trust/anchors",
        update: &["update-ca-certificates"],
        update_removed: &["update-ca-certificates"],
    },
];

fn system(root: &Root<'_>, remove: bool, machine: &Machine) -> Step {
    if cfg!(target_os = "macos") {
        return Step { store: "system (macOS keychain)".to_owned(), outcome: keychain(root, remove, machine) };
    }
    let Some(store) = SYSTEM_STORES.iter().find(|store| machine.root.join(store.folder).is_dir()) else {
        let advice = format!(
            "this system's trust store is not known here: add {} to it as its documentation says",
            root.path.display()
        );
        return Step { store: "system".to_owned(), outcome: Outcome::Unsupported(advice) };
    };
    let outcome = anchor(store, root, remove, machine).unwrap_or_else(Outcome::Failed);
    Step { store: store.name.to_owned(), outcome }
}

fn anchor(store: &SystemStore, root: &Root<'_>, remove: bool, machine: &Machine) -> Result<Outcome, String> {
    let file = machine.root.join(store.folder).join(root.file_name());
    if remove && !file.exists() {
        return Ok(Outcome::WasNotThere);
    }
    let program = if remove { store.update_removed } else { store.update };
    if !machine.is_root {
        let change = if remove {
            format!("rm '{}'", file.display())
        } else {
            format!("install -m 644 '{}' '{}'", root.path.display(), file.display())
        };
        return Ok(Outcome::NeedsRoot(vec![change, program.join(" ")]));
    }
    let changed = if remove { std::fs::remove_file(&file) } else { std::fs::write(&file, &root.pem) };
    changed.map_err(|error| format!("{}: {error}", file.display()))?;
    let mut update = Command::new(program[0]);
    update.args(&program[1..]);
    if machine.root != Path::new("/") {
        // Another root, such as an image that is being built: Debian's program can be told.
        for (flag, folder) in [
            ("--etccertsdir", "etc/ssl/certs"),
            ("--localcertsdir", store.folder),
            ("--certsconf", "etc/ca-certificates.conf"),
            ("--hooksdir", "etc/ca-certificates/update.d"),
        ] {
            update.arg(flag).arg(machine.root.join(folder));
        }
    }
    execute(&mut update)?;
    Ok(if remove { Outcome::Removed } else { Outcome::Added })
}

fn keychain(root: &Root<'_>, remove: bool, machine: &Machine) -> Outcome {
    const KEYCHAIN: &str = "/Library/Keychains/System.keychain";
    let path = root.path.display().to_string();
    let arguments: Vec<&str> = if remove {
        vec!["remove-trusted-cert", "-d", &path]
    } else {
        vec!["add-trusted-cert", "-d", "-r", "trustRoot", "-k", KEYCHAIN, &path]
    };
    if !machine.is_root {
        return Outcome::NeedsRoot(vec![format!("security {}", arguments.join(" "))]);
    }
    match execute(Command::new("security").args(arguments)) {
        Ok(_) if remove => Outcome::Removed,
        Ok(_) => Outcome::Added,
        Err(why) => Outcome::Failed(why),
    }
}

/// Where Chromium and its kin keep their database, below the home folder.
const CHROMIUM: &[&str] = &[".pki/nssdb", "snap/chromium/current/.pki/nssdb"];
/// Where Firefox keeps its profiles, below the home folder.
const FIREFOX: &[&str] = &[
    ".mozilla/firefox",
    ".config/mozilla/firefox",
    "snap/firefox/common/.mozilla/firefox",
    ".var/app/org.mozilla.firefox/.mozilla/firefox",
    "Library/Application Support/Firefox/Profiles",
];
const CHROMIUM_PROGRAMS: &[&str] =
    &["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge", "brave-browser"];

fn browsers(root: &Root<'_>, remove: bool, machine: &Machine) -> Vec<Step> {
    let Some(home) = &machine.home else { return Vec::new() };
    let mut databases: Vec<(String, PathBuf)> = CHROMIUM
        .iter()
        .map(|folder| home.join(folder))
        .filter(|folder| folder.join("cert9.db").is_file())
        .map(|folder| (format!("Chromium ({})", folder.display()), folder))
        .collect();
    let installed = CHROMIUM_PROGRAMS.iter().any(|program| find_program(program).is_some());
    if databases.is_empty() && installed && !remove {
        // Made ahead, so that the browser's first start already knows the root.
        let folder = home.join(CHROMIUM[0]);
        databases.push((format!("Chromium ({})", folder.display()), folder));
    }
    for profiles in FIREFOX.iter().map(|folder| home.join(folder)) {
        let mut found: Vec<PathBuf> =
            std::fs::read_dir(profiles).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        found.retain(|profile| profile.join("cert9.db").is_file());
        found.sort();
        databases.extend(found.into_iter().map(|folder| (format!("Firefox ({})", folder.display()), folder)));
    }
    if databases.is_empty() {
        return Vec::new();
    }
    if find_program("certutil").is_none() {
        let advice = if cfg!(target_os = "macos") {
            "install nss (brew install nss)"
        } else {
            "install libnss3-tools (Debian, Ubuntu), nss-tools (Fedora) or nss (Arch)"
        };
        return vec![Step { store: "browsers".to_owned(), outcome: Outcome::Missing { program: "certutil", advice } }];
    }
    databases
        .into_iter()
        .map(|(store, folder)| Step { store, outcome: nss(root, remove, &folder).unwrap_or_else(Outcome::Failed) })
        .collect()
}

fn nss(root: &Root<'_>, remove: bool, folder: &Path) -> Result<Outcome, String> {
    let database = format!("sql:{}", folder.display());
    let certutil = |arguments: &[&OsStr]| execute(Command::new("certutil").arg("-d").arg(&database).args(arguments));
    let nickname = root.nickname();
    let known = certutil(&["-L".as_ref(), "-n".as_ref(), nickname.as_ref()]).is_ok();
    if remove {
        if !known {
            return Ok(Outcome::WasNotThere);
        }
        certutil(&["-D".as_ref(), "-n".as_ref(), nickname.as_ref()])?;
        return Ok(Outcome::Removed);
    }
    if !folder.join("cert9.db").is_file() {
        std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        certutil(&["-N".as_ref(), "--empty-password".as_ref()])?;
    }
    certutil(&[
        "-A".as_ref(),
        "-t".as_ref(),
        "C,,".as_ref(),
        "-n".as_ref(),
        nickname.as_ref(),
        "-i".as_ref(),
        root.path.as_os_str(),
    ])?;
    Ok(Outcome::Added)
}

fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Runs a program; its error output says why it failed.
fn execute(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(std::process::Stdio::null()).output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ca(dir: &Path) -> PathBuf {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let path = dir.join("ca.pem");
        std::fs::write(&path, certificate.pem()).unwrap();
        path
    }

    fn outcome<'a>(steps: &'a [Step], begin: &str) -> &'a Outcome {
        &steps
            .iter()
            .find(|step| step.store.starts_with(begin))
            .unwrap_or_else(|| panic!("{begin} in {steps:?}"))
            .outcome
    }

    #[test]
    fn a_firefox_profile_gets_the_root_and_loses_it() {
        if find_program("certutil").is_none() {
            // Without the program the other test of the missing program is the one that says something.
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let profile = dir.path().join(".mozilla/firefox/abc.default");
        std::fs::create_dir_all(&profile).unwrap();
        let database = format!("sql:{}", profile.display());
        execute(Command::new("certutil").args(["-N", "--empty-password", "-d", &database])).unwrap();
        let machine = Machine { root: dir.path().to_owned(), home: Some(dir.path().to_owned()), is_root: false };
        let ca = ca(dir.path());
        let list = || execute(Command::new("certutil").args(["-L", "-d", &database])).unwrap();

        assert_eq!(*outcome(&run(&ca, true, &machine).unwrap(), "Firefox"), Outcome::WasNotThere);
        assert_eq!(*outcome(&run(&ca, false, &machine).unwrap(), "Firefox"), Outcome::Added);
        let line = list().lines().find(|line| line.starts_with("Holler local CA")).unwrap().to_owned();
        assert!(line.trim_end().ends_with("C,,"), "{line}");
        assert_eq!(*outcome(&run(&ca, false, &machine).unwrap(), "Firefox"), Outcome::Added, "twice is no error");
        assert_eq!(*outcome(&run(&ca, true, &machine).unwrap(), "Firefox"), Outcome::Removed);
        assert!(!list().contains("Holler"));
    }

    #[test]
    fn without_root_the_commands_are_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("usr/local/share/ca-certificates")).unwrap();
        let machine = Machine { root: dir.path().to_owned(), home: None, is_root: false };
        let steps = run(&ca(dir.path()), false, &machine).unwrap();
        let Outcome::NeedsRoot(commands) = outcome(&steps, "system (Debian") else { panic!("{steps:?}") };
        assert!(commands[0].contains("install -m 644") && commands[1] == "update-ca-certificates");
        assert!(std::fs::read_dir(dir.path().join("usr/local/share/ca-certificates")).unwrap().next().is_none());
        assert!(steps[0].to_string().contains("sudo update-ca-certificates"));
    }

    #[test]
    fn debians_store_takes_the_root_over() {
        if find_program("update-ca-certificates").is_none() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        for folder in ["usr/local/share/ca-certificates", "etc/ssl/certs", "etc/ca-certificates/update.d"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        std::fs::write(dir.path().join("etc/ca-certificates.conf"), "").unwrap();
        // A system without any other root is none: Debian's program would then keep the old bundle.
        let other = tempfile::tempdir().unwrap();
        std::fs::copy(ca(other.path()), dir.path().join("usr/local/share/ca-certificates/other.crt")).unwrap();
        let machine = Machine { root: dir.path().to_owned(), home: None, is_root: true };
        let ca = ca(dir.path());
        assert_eq!(*outcome(&run(&ca, false, &machine).unwrap(), "system (Debian"), Outcome::Added);
        let bundle = || std::fs::read_to_string(dir.path().join("etc/ssl/certs/ca-certificates.crt")).unwrap();
        let pem = std::fs::read_to_string(&ca).unwrap();
        let line = pem.lines().nth(1).unwrap();
        assert!(bundle().contains(line));
        assert_eq!(*outcome(&run(&ca, true, &machine).unwrap(), "system (Debian"), Outcome::Removed);
        assert!(!bundle().contains(line));
    }

    #[test]
    fn an_unknown_system_is_told_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine { root: dir.path().join("empty"), home: None, is_root: true };
        let steps = run(&ca(dir.path()), false, &machine).unwrap();
        assert!(matches!(outcome(&steps, "system"), Outcome::Unsupported(advice) if advice.contains("ca.pem")));
        assert!(run(&dir.path().join("none.pem"), false, &machine).is_err());
    }
}
