//! `hollerd invite`

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use holler_core::model::{Role, UserRole};
use holler_core::units::InviteId;
use holler_core::wire::limits::INVITE_USES_MAX;
use holler_core::wire::rest::{InviteRoom, NewInvite};

use super::{beside, say};
use crate::api::invites;
use crate::auth::links;
use crate::clock::Clock;
use crate::config::Config;
use crate::pki::CA_CERTIFICATE;
use crate::storage::accounts::InviteRow;
use crate::storage::audit::Actor;

/// Seconds of a day.
const DAY_S: u32 = 86_400;

#[derive(Debug, clap::Subcommand)]
pub(super) enum InviteCommand {
    /// Make an invite; prints its link, and on a terminal its QR code. The link is shown only now
    Make {
        /// A room that those who join become members of, by name or identifier; may be given several times
        #[arg(long, value_name = "ROOM")]
        room: Vec<String>,
        /// What they may do in those rooms: listener, talker, dispatcher or admin
        #[arg(long, default_value = "talker")]
        role: Role,
        /// They also manage users and rooms
        #[arg(long)]
        admin: bool,
        /// How long it is good, in days
        #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=90))]
        days: u32,
        /// How many people may join by it
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(INVITE_USES_MAX)))]
        uses: u32,
        /// Whom or what it is for, for the list
        #[arg(long)]
        note: Option<String>,
        #[command(flatten)]
        shown: ShowLink,
    },
    /// List the invites, those that are over too
    List,
    /// Take an invite back: nobody joins by it any more
    Revoke {
        /// The invite, as listed
        invite: InviteId,
    },
}

/// How a link is shown.
#[derive(Debug, clap::Args)]
pub(super) struct ShowLink {
    /// Where people reach the server [default: its first public name and its port]
    #[arg(long, value_name = "URL", value_parser = https)]
    url: Option<String>,
    /// Print the QR code also where standard output is no terminal
    #[arg(long)]
    qr: bool,
}

fn https(text: &str) -> Result<String, String> {
    let url = text.trim_end_matches('/');
    let host = url.strip_prefix("https://").unwrap_or_default();
    if !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-.:[]".contains(c)) {
        Ok(url.to_owned())
    } else {
        Err("expected an address like https://radio.example.org:8443".to_owned())
    }
}

impl ShowLink {
    /// Prints the link; the first line is the link and nothing else.
    pub(super) fn print(&self, config: &Config, token: &links::LinkToken) -> anyhow::Result<()> {
        let link = token.link(self.url.as_deref().unwrap_or(&config.public_url()));
        say(&*link)?;
        if config.tls.is_none() {
            let root = config.keys.join(CA_CERTIFICATE);
            let hint = "# Whoever joins must trust this server's local CA: give them a copy of";
            let _ = writeln!(
                std::io::stderr(),
                "{hint} {} (`holler join --ca ca.pem`; browsers import it)",
                root.display()
            );
        }
        if self.qr || std::io::stdout().is_terminal() {
            say(format_args!("\n{}", links::qr_text(&link)?))?;
        }
        Ok(())
    }
}

pub(super) fn run(config: &Config, command: InviteCommand) -> anyhow::Result<ExitCode> {
    match command {
        InviteCommand::Make { room, role, admin, days, uses, note, shown } => beside(config, async |desk| {
            let mut rooms = Vec::new();
            for room in &room {
                rooms.push(InviteRoom { room: desk.room(room).await?.id, role });
            }
            let new = NewInvite {
                rooms,
                role: if admin { UserRole::Admin } else { UserRole::Member },
                expires_in_s: days * DAY_S,
                uses_max: uses,
                note,
            };
            invites::check(&new, &desk.auth.policy())?;
            let (_, token) = desk.auth.make_invite(Actor::Cli, new).await?;
            shown.print(config, &token)
        })?,
        InviteCommand::List => beside(config, async |desk| {
            let now = Clock::default().unix();
            for invite in desk.auth.read(|accounts| Ok(accounts.invites(None)?)).await? {
                let state = state(&invite, now);
                let (note, uses) = (invite.note.as_deref().unwrap_or_default(), invite.uses);
                say(format_args!("{}\t{state}\t{uses}/{}\t{}\t{note}", invite.id, invite.uses_max, invite.expires_at))?;
            }
            Ok(())
        })?,
        InviteCommand::Revoke { invite } => beside(config, async |desk| {
            desk.auth.write(Actor::Cli, move |accounts, now| accounts.revoke_invite(invite, now)).await?;
            say(format_args!("took back {invite}: nobody joins by it any more"))
        })?,
    }
    Ok(ExitCode::SUCCESS)
}

fn state(invite: &InviteRow, now: holler_core::units::UnixMs) -> &'static str {
    if invite.revoked {
        "revoked"
    } else if invite.uses >= invite.uses_max {
        "used"
    } else if now >= invite.expires_at {
        "expired"
    } else {
        "good"
    }
}
