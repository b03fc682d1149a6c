//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use holler_core::model::{PresenceState, Priority};
use holler_core::units::BurstId;

use crate::exit;

/// Push-to-talk from the command line: talk and listen in real time, read and write rooms, for people and for scripts.
#[derive(Debug, Parser)]
#[command(name = "holler", version, max_term_width = 120, after_help = exit::TABLE)]
pub(crate) struct Cli {
    /// What is the same for every command.
    #[command(flatten)]
    pub(crate) common: Common,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What is the same for every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Common {
    /// One JSON object per line on standard output (see docs/CLI.md)
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Which sign-in to use: each profile has its own server, device and local log
    #[arg(long, global = true, env = "HOLLER_PROFILE", default_value = "default", value_parser = profile)]
    pub(crate) profile: String,
    /// Where profiles are kept [default: $XDG_DATA_HOME/holler, that is ~/.local/share/holler]
    #[arg(long, global = true, env = "HOLLER_HOME", value_name = "DIR", hide_env_values = true)]
    pub(crate) home: Option<PathBuf>,
    /// Live voice goes over the socket only, never as UDP datagrams
    #[arg(long, global = true, env = "HOLLER_NO_UDP", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) no_udp: bool,
    /// Say on standard error what goes on inside (-v, -vv)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

fn profile(text: &str) -> Result<String, String> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    if !text.is_empty() && text.len() <= 64 && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("a profile's name has 1 to 64 of A-Z a-z 0-9 - _".to_owned())
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Sign in to a server; the profile remembers it
    Login(Login),
    /// Join a server by an invite's link; the profile is signed in then
    Join(Join),
    /// Set a new password by an admin's one-time link; the profile is signed in then
    Reset(Reset),
    /// Sign out: the server forgets this device's tokens, and so does the profile
    Logout,
    /// List the rooms you are in
    Rooms,
    /// Talk in a room, in real time: a recording, standard input or the microphone
    Talk(Talk),
    /// Hear rooms, live and complete
    Listen(Listen),
    /// Play what was missed: bursts that were brought later, or came while you were away
    Play(Play),
    /// What waits on this device to be delivered
    Queue(Queue),
    /// Write a text into a room
    Send(Send),
    /// Show a room's log
    Tail(Tail),
    /// Who is in a room, and how they are; without a room, who you are
    Who(Who),
    /// How people are, once or as it changes; or how you are
    Presence(Presence),
    /// Who heard a burst
    Heard(Heard),
    /// The server, this device, the connection and what still waits to be delivered
    Status(Status),
    /// Print what makes a shell complete holler's commands and flags
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a folder
    #[command(hide = true)]
    Man {
        /// Where to put them
        folder: PathBuf,
    },
}

/// `holler login`
#[derive(Debug, Args)]
pub(crate) struct Login {
    /// The server, such as https://localhost:8443
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// Your sign-in name [default: asked for]
    #[arg(long, short, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Read the password from standard input instead of the terminal
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// Also trust this root certificate (PEM) for this profile, such as the local CA's ca.pem
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// What to call this device [default: the host's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) device_name: Option<String>,
}

/// `holler join`
#[derive(Debug, Args)]
pub(crate) struct Join {
    /// The link, in quotes
    #[arg(value_name = "LINK")]
    pub(crate) link: String,
    /// The sign-in name to have: 1 to 64 of a-z 0-9 . _ - [default: asked for]
    #[arg(long, short, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// The name that others see [default: the sign-in name]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Read the password from standard input instead of the terminal
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// Also trust this root certificate (PEM) for this profile, such as the local CA's ca.pem
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// What to call this device [default: the host's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) device_name: Option<String>,
}

/// `holler reset`
#[derive(Debug, Args)]
pub(crate) struct Reset {
    /// The link, in quotes
    #[arg(value_name = "LINK")]
    pub(crate) link: String,
    /// Read the new password from standard input instead of the terminal
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// Also trust this root certificate (PEM) for this profile, such as the local CA's ca.pem
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// What to call this device [default: the host's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) device_name: Option<String>,
}

/// With which weight to ask for the floor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Weight {
    /// Ordinary talk
    #[default]
    Normal,
    /// Something pressing
    Elevated,
    /// As a dispatcher
    Dispatcher,
    /// Life or limb: always wins, and stays raised until it is cleared
    Emergency,
}

impl From<Weight> for Priority {
    fn from(weight: Weight) -> Self {
        match weight {
            Weight::Normal => Self::Normal,
            Weight::Elevated => Self::Elevated,
            Weight::Dispatcher => Self::Dispatcher,
            Weight::Emergency => Self::Emergency,
        }
    }
}

/// `holler talk`
#[derive(Debug, Args)]
pub(crate) struct Talk {
    /// The room, by name or id
    pub(crate) room: String,
    /// A WAV file of any rate, or - for WAV on standard input
    #[arg(value_name = "FILE.wav|-", required_unless_present = "mic")]
    pub(crate) file: Option<PathBuf>,
    /// Talk into the microphone until Enter or Ctrl-C; with a name, into that one
    #[arg(long, value_name = "DEVICE", num_args = 0..=1, conflicts_with = "file")]
    pub(crate) mic: Option<Option<String>>,
    /// With which weight to ask for the floor
    #[arg(long, value_enum, default_value_t)]
    pub(crate) priority: Weight,
    /// Wait in the queue when somebody else talks
    #[arg(long)]
    pub(crate) queue: bool,
    /// Where the floor is denied, deliver it all the same, for listeners to play when they like
    #[arg(long)]
    pub(crate) when_free: bool,
    /// Bit rate in kbit/s, redundancy included
    #[arg(long, value_name = "KBIT", default_value_t = 24, value_parser = clap::value_parser!(u32).range(6..=128))]
    pub(crate) bitrate: u32,
    /// Length of a frame in ms
    #[arg(long, value_name = "MS", default_value = "20", value_parser = ["20", "40", "60"])]
    pub(crate) frame: String,
    /// Give up after this many seconds without the server having the whole burst
    #[arg(long, value_name = "S", default_value_t = 60)]
    pub(crate) timeout: u64,
    /// Once it is delivered, wait at most this many seconds for those who hear it; 0: say nothing of them
    #[arg(long, value_name = "S", default_value_t = 3)]
    pub(crate) receipts: u64,
    /// With --json: a line for each frame, with the time at which it was captured
    #[arg(long)]
    pub(crate) frames: bool,
}

/// `holler listen`
#[derive(Debug, Args)]
pub(crate) struct Listen {
    /// The rooms, by name or id
    #[arg(required = true)]
    pub(crate) room: Vec<String>,
    /// Write two files per burst into this folder: what was heard live (.heard.wav) and the complete burst (.wav)
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Play on a speaker; with a name, on that one
    #[arg(long, value_name = "DEVICE", num_args = 0..=1, conflicts_with = "out")]
    pub(crate) speaker: Option<Option<String>>,
    /// Stop after this many bursts are complete
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) bursts: Option<u64>,
    /// Stop after this many seconds; with --bursts that is a failure
    #[arg(long, value_name = "S")]
    pub(crate) timeout: Option<u64>,
    /// With --json: a line for each frame, with the time at which it was heard
    #[arg(long)]
    pub(crate) frames: bool,
}

/// `holler play`
#[derive(Debug, Args)]
pub(crate) struct Play {
    /// The room, by name or id
    pub(crate) room: String,
    /// A burst of its log
    #[arg(required_unless_present = "missed")]
    pub(crate) burst: Option<String>,
    /// Every burst of others that was not played to its end on this device, in the order of the log
    #[arg(long, conflicts_with = "burst")]
    pub(crate) missed: bool,
    /// Write each into a file of this folder (BURST.wav) instead of playing it
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Play on this speaker [default: the system's]
    #[arg(long, value_name = "DEVICE", conflicts_with = "out")]
    pub(crate) speaker: Option<String>,
}

/// `holler queue`
#[derive(Debug, Args)]
pub(crate) struct Queue {
    /// What to do with it [default: list]
    #[command(subcommand)]
    pub(crate) action: Option<QueueAction>,
}

/// What to do with what waits.
#[derive(Debug, Subcommand)]
pub(crate) enum QueueAction {
    /// Show it, in the order in which it was spoken and written
    List,
    /// Deliver it now, and what was held back too
    Send {
        /// Of what was held back, this burst only
        id: Option<String>,
        /// Give up after this many seconds; the rest waits on
        #[arg(long, value_name = "S", default_value_t = 60)]
        timeout: u64,
    },
    /// Forget a burst or a text that is not delivered
    Drop {
        /// Its id, as the list shows it
        id: String,
    },
    /// Play one's own burst, delivered or not
    Play {
        /// Its id, as the list shows it
        id: String,
        /// Write it into this file instead
        #[arg(long, value_name = "FILE.wav")]
        out: Option<PathBuf>,
    },
}

/// `holler send`
#[derive(Debug, Args)]
pub(crate) struct Send {
    /// The room, by name or id
    pub(crate) room: String,
    /// The text, or - to read it from standard input
    #[arg(required_unless_present = "delete", conflicts_with = "delete")]
    pub(crate) text: Option<String>,
    /// It answers the event with this number
    #[arg(long, value_name = "NUMBER", conflicts_with = "edit")]
    pub(crate) reply: Option<u64>,
    /// It replaces one's own text with this number
    #[arg(long, value_name = "NUMBER")]
    pub(crate) edit: Option<u64>,
    /// Take back the text with this number: one's own, or as a dispatcher of the room anybody's
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["reply", "edit"])]
    pub(crate) delete: Option<u64>,
    /// Give up after this many seconds; the text then waits in the profile and goes out with the next command
    #[arg(long, value_name = "S", default_value_t = 30)]
    pub(crate) timeout: u64,
}

/// `holler tail`
#[derive(Debug, Args)]
pub(crate) struct Tail {
    /// The room, by name or id
    pub(crate) room: String,
    /// How many events to show
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=500))]
    pub(crate) lines: u32,
    /// Go on with what comes
    #[arg(short, long)]
    pub(crate) follow: bool,
}

/// `holler who`
#[derive(Debug, Args)]
pub(crate) struct Who {
    /// The room, by name or id
    pub(crate) room: Option<String>,
}

/// `holler presence`
#[derive(Debug, Args)]
pub(crate) struct Presence {
    /// The room, by name or id [default: each of yours]
    pub(crate) room: Option<String>,
    /// What this device says of you from now on, while it is connected: available, busy, solo, away or offline
    #[arg(long, value_name = "STATE")]
    pub(crate) set: Option<PresenceState>,
    /// Stay connected, and show what changes
    #[arg(long)]
    pub(crate) watch: bool,
    /// Stop watching after this many seconds
    #[arg(long, value_name = "S", requires = "watch")]
    pub(crate) timeout: Option<u64>,
}

/// `holler heard`
#[derive(Debug, Args)]
pub(crate) struct Heard {
    /// The burst, as talk, listen and tail show it
    pub(crate) burst: BurstId,
    /// Its room, by name or id [default: looked for in yours]
    #[arg(long, value_name = "ROOM")]
    pub(crate) room: Option<String>,
}

/// `holler status`
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Also list microphones and speakers
    #[arg(long)]
    pub(crate) devices: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn talk_needs_a_source_and_only_one() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' '));
        assert!(parse("holler talk ops").is_err());
        assert!(parse("holler talk ops --mic").is_ok());
        assert!(parse("holler talk ops speech.wav").is_ok());
        assert!(parse("holler talk ops -").is_ok());
        assert!(parse("holler talk ops speech.wav --mic").is_err());
        assert!(parse("holler talk ops - --bitrate 5").is_err());
        assert!(parse("holler talk ops - --frame 30").is_err());
        assert!(parse("holler listen").is_err());
        assert!(parse("holler play ops").is_err());
        assert!(parse("holler play ops --missed").is_ok());
        assert!(parse("holler queue").is_ok());
        assert!(parse("holler --profile ../x rooms").is_err());
    }
}
