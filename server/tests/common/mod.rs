//! A real `hollerd` process, and what talks to it.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::json;

/// A process that serves a folder.
pub(crate) struct Hollerd {
    child: Child,
    pub(crate) url: String,
    pub(crate) greeting: String,
    log: Option<JoinHandle<String>>,
    /// Kept open: the server has more to say than is read.
    _stdout: BufReader<ChildStdout>,
}

pub(crate) fn hollerd(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hollerd"));
    command.arg("--data").arg(dir.join("data")).arg("--keys").arg(dir.join("keys")).args(["--log", "debug"]);
    command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Hollerd {
    pub(crate) fn serve(dir: &Path) -> Self {
        Self::serve_with_private(dir, "off")
    }

    pub(crate) fn serve_with_private(dir: &Path, private: &str) -> Self {
        Self::start(hollerd(dir).args(["serve", "--listen", "127.0.0.1:0", "--private", private]))
    }

    /// Starts this command and waits until it says how to sign in.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let log = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        let mut greeting = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        while !greeting.contains("Sign in:") && stdout.read_line(&mut greeting).unwrap() > 0 {}
        let url = greeting.split_once("ready at ").and_then(|(_, rest)| rest.split_whitespace().next());
        let url = url.unwrap_or_else(|| panic!("no greeting: {greeting}")).to_owned();
        Self { child, url, greeting, log: Some(log), _stdout: stdout }
    }

    pub(crate) fn password(&self) -> Option<String> {
        Some(self.greeting.split_once("password  ")?.1.split_whitespace().next()?.to_owned())
    }

    /// Asks it to go down.
    pub(crate) fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends it as an operator does, and gives what it logged.
    pub(crate) fn end(self) -> String {
        self.terminate();
        let (code, log) = self.wait();
        assert_eq!(code, Some(0), "{log}");
        log
    }

    /// Waits for its end, and gives its exit code and what it logged.
    pub(crate) fn wait(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        (code, self.log.take().unwrap().join().unwrap())
    }
}

impl Drop for Hollerd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command beside the server; gives its output and log.
pub(crate) fn run(dir: &Path, arguments: &[&str], input: &str) -> (bool, String, String) {
    let mut child = hollerd(dir).args(arguments).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// TLS that trusts the folder's own CA.
pub(crate) fn tls(dir: &Path) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(dir.join("keys/ca.pem")).unwrap()).unwrap();
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

pub(crate) fn client(dir: &Path) -> reqwest::Client {
    let tls = tls(dir);
    let loopback = "127.0.0.1:0".parse().unwrap();
    reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls).resolve("localhost", loopback).build().unwrap()
}

pub(crate) async fn sign_in(
    client: &reqwest::Client,
    url: &str,
    login: &str,
    password: &str,
    device: &str,
) -> reqwest::Response {
    let request = json!({"login": login, "password": password, "device_name": device});
    client.post(format!("{url}/api/v1/auth/sign-in")).json(&request).send().await.unwrap()
}
