//! The browser's driver as a process: a JSON line in, a JSON line out.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

/// The driver's own waits are shorter, and say what they waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a page is started with.
pub(super) struct Start<'a> {
    /// The driver's name in `lab/browser`.
    pub(super) driver: &'a str,
    /// The server's root certificate.
    pub(super) root: &'a Path,
    pub(super) modules: &'a Path,
    /// The browser.
    pub(super) program: &'a Path,
    pub(super) home: &'a Path,
    pub(super) url: &'a str,
    /// What the microphone hears, where the browser itself plays it.
    pub(super) microphone: Option<&'a Path>,
    /// The sound server to use, where it is not the system's.
    pub(super) sound: Option<&'a str>,
}

/// A page in a browser; gone when dropped.
pub(super) struct Page {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Page {
    pub(super) fn start(start: &Start<'_>) -> Result<Self> {
        let settings = json!({
            "modules": start.modules, "program": start.program, "profile": start.home.join("profile"), "url": start.url,
            "speech": start.microphone,
        });
        let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser").join(start.driver);
        let mut child = Command::new("node")
            .arg(driver)
            .arg(settings.to_string())
            .env("HOME", start.home)
            .envs(start.sound.map(|sound| ("PULSE_SERVER", sound)))
            .env("NODE_EXTRA_CA_CERTS", start.root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("node did not start")?;
        let output = child.stdout.take().context("the driver's output")?;
        let input = child.stdin.take();
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, input, lines })
    }

    /// Asks for a deed and waits until it is done.
    pub(super) fn ask(&mut self, deed: &Value) -> Result<Value> {
        let input = self.input.as_mut().context("the driver is gone")?;
        writeln!(input, "{deed}").with_context(|| format!("the driver is gone before {deed}"))?;
        let line = self.lines.recv_timeout(PATIENCE).with_context(|| format!("no answer to {deed}"))?;
        let answer: Value = serde_json::from_str(&line).with_context(|| format!("the driver said {line:?}"))?;
        ensure!(answer["ok"] == true, "{deed}: {} {}", answer["error"], answer["complaints"]);
        Ok(answer)
    }

    /// Closes the browser.
    pub(super) fn end(mut self) -> Result<()> {
        self.ask(&json!({"do": "end"}))?;
        self.input = None;
        self.child.wait().context("waiting for the driver")?;
        Ok(())
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // Without input the driver closes the browser and ends; only one that hangs is killed.
        self.input = None;
        if !matches!(
            self.lines.recv_timeout(Duration::from_secs(10)),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected)
        ) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
