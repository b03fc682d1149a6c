//! A sound server without a sound card: what is played into its mouth is what its microphone hears; what a browser plays goes to
//! its ear, where nobody listens. Without one, Firefox leaves its sound context suspended.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::programs::text;

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// The sound server; gone when dropped.
pub(super) struct Pulse {
    child: Child,
    socket: PathBuf,
}

impl Pulse {
    pub(super) fn start(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).context("the sound server's folder")?;
        let (socket, script) = (folder.join("native"), folder.join("script.pa"));
        // Browsers hide what is only the monitor of a loudspeaker: so it is given on as a microphone. A null sink that may rewind
        // runs in blocks of two seconds until somebody wants less, and gives its first sound at the end of one: no sound card does.
        let lines = format!(
            "load-module module-native-protocol-unix auth-anonymous=1 socket={}\n\
             load-module module-null-sink sink_name=ear rate=48000 norewinds=1\n\
             load-module module-null-sink sink_name=mouth rate=48000 channels=1 norewinds=1\n\
             load-module module-remap-source source_name=microphone master=mouth.monitor\n\
             set-default-sink ear\n\
             set-default-source microphone\n",
            text(&socket)?
        );
        std::fs::write(&script, lines).context("the sound server's script")?;
        let mut command = Command::new("pulseaudio");
        command.args(["-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--log-level=error", "-F"]);
        command.arg(&script).env("HOME", folder).env("XDG_RUNTIME_DIR", folder).stdin(Stdio::null());
        let child = command.stderr(Stdio::null()).spawn().context("pulseaudio did not start")?;
        let pulse = Self { child, socket };
        let late = Instant::now() + PATIENCE;
        // It answers when everything is loaded.
        while !pulse.program("pactl").arg("info").stdout(Stdio::null()).stderr(Stdio::null()).status()?.success() {
            ensure!(Instant::now() < late, "pulseaudio does not answer after {} s", PATIENCE.as_secs());
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(pulse)
    }

    /// What programs find it by.
    pub(super) fn address(&self) -> String {
        format!("unix:{}", self.socket.display())
    }

    /// Says what is in a file, and waits until it is said.
    pub(super) fn say(&self, file: &Path) -> Result<()> {
        let said = self.program("paplay").args(["--device", "mouth"]).arg(file).status();
        ensure!(said.context("paplay (Debian: pulseaudio-utils)")?.success(), "paplay failed");
        Ok(())
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.env("PULSE_SERVER", self.address());
        command
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
