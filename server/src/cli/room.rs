//! `hollerd room`

use std::process::ExitCode;

use holler_core::model::{Role, RoomKind};
use holler_core::units::RoomId;

use super::access::random;
use super::{beside, say};
use crate::api::bounds;
use crate::config::Config;
use crate::storage::{DATABASE_FILE, schema};

#[derive(Debug, clap::Subcommand)]
pub(super) enum RoomCommand {
    /// Add a room
    Add {
        /// 1 to 80 characters
        name: String,
        /// direct, group or channel
        #[arg(long, default_value = "group")]
        kind: RoomKind,
    },
    /// Put a user into a room, change their role there, or take them out
    Member {
        /// The room's name or identifier
        room: String,
        /// Who
        login: String,
        /// listener, talker, dispatcher or admin
        #[arg(long, default_value = "talker")]
        role: Role,
        /// Take them out
        #[arg(long, conflicts_with = "role")]
        remove: bool,
    },
    /// Show or set how long a room keeps its events
    Retention {
        /// The room's name or identifier
        room: String,
        /// Keep them for so many days, 1 to 3650
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=3_650), conflicts_with_all = ["for_ever", "policy"])]
        days: Option<u32>,
        /// Keep them for ever, whatever the workspace's policy says
        #[arg(long, conflicts_with = "policy")]
        for_ever: bool,
        /// Keep them as the workspace's policy says
        #[arg(long)]
        policy: bool,
    },
    /// Put a room under legal hold: nothing of it is removed until the hold is released
    Hold {
        /// The room's name or identifier
        room: String,
        /// End the hold
        #[arg(long)]
        release: bool,
    },
    /// Delete a room's key, and with it everything that was said there, for good; prints a receipt as JSON
    Shred {
        /// The room's name or identifier
        room: String,
        /// Really
        #[arg(long, required = true)]
        yes: bool,
    },
    /// List the rooms
    List,
}

pub(super) fn run(config: &Config, command: RoomCommand) -> anyhow::Result<ExitCode> {
    match command {
        RoomCommand::Add { name, kind } => {
            bounds::name("name", &name)?;
            let room = RoomId::from_bytes(random()?);
            beside(config, async |desk| {
                desk.change(move |accounts, now| accounts.add_room(room, kind, &name, now)).await?;
                say(format_args!("added {room}"))
            })?;
        }
        RoomCommand::Member { room, login, role, remove } => beside(config, async |desk| {
            let (room, user) = (desk.room(&room).await?, desk.user(&login).await?);
            let (id, who) = (room.id, user.id);
            if remove {
                desk.change(move |accounts, _| accounts.remove_member(id, who)).await?;
                return say(format_args!("{login} is no member of {} any more", room.name));
            }
            desk.change(move |accounts, now| accounts.set_member(id, who, role, now)).await?;
            say(format_args!("{login} is {role} in {}", room.name))
        })?,
        RoomCommand::Retention { room, days, for_ever, policy } => beside(config, async |desk| {
            let room = desk.room(&room).await?;
            let id = room.id;
            let before = desk.auth.read(move |accounts| accounts.retention(id)).await?;
            let wanted = days.or(for_ever.then_some(0));
            if wanted.is_some() || policy {
                let held = before.held_at.is_some();
                desk.change(move |accounts, now| accounts.set_retention(id, wanted, held, now)).await?;
            }
            let now = desk.auth.read(move |accounts| Ok((accounts.retention(id)?, accounts.policy()?))).await?;
            let days = match now.0.days.or(now.1.retention_days).filter(|days| *days > 0) {
                Some(days) => format!("{days} days"),
                None => "for ever".to_owned(),
            };
            let whose = if now.0.days.is_none() { ", as the policy says" } else { "" };
            let held = if now.0.held_at.is_some() { "; under legal hold: nothing is removed" } else { "" };
            say(format_args!("{} keeps its events {days}{whose}{held}", room.name))
        })?,
        RoomCommand::Hold { room, release } => beside(config, async |desk| {
            let room = desk.room(&room).await?;
            let id = room.id;
            desk.change(move |accounts, now| {
                let days = accounts.retention(id)?.days;
                accounts.set_retention(id, days, !release, now)
            })
            .await?;
            let state = if release { "not under legal hold any more" } else { "under legal hold: nothing is removed" };
            say(format_args!("{} is {state}", room.name))
        })?,
        RoomCommand::Shred { room, yes: _ } => {
            beside(config, async |desk| {
                let room = desk.room(&room).await?.id;
                let (told, receipt) = std::sync::mpsc::channel();
                desk.change(move |accounts, now| {
                    let (generation, receipt) = accounts.shred_room(room, now)?;
                    // The receiver waits until this is committed.
                    let _ = told.send(receipt);
                    Ok(generation)
                })
                .await?;
                say(serde_json::to_string_pretty(&receipt.recv()?)?)
            })?;
            if !schema::empty_log(&config.data.join(DATABASE_FILE))? {
                say(
                    "# the write-ahead log still holds the wrapped key: it goes when the server stops, or within some thousand further writes",
                )?;
            }
        }
        RoomCommand::List => beside(config, async |desk| {
            for room in desk.auth.read(|accounts| Ok(accounts.rooms()?)).await? {
                say(format_args!("{}\t{}\t{}\t{}", room.id, room.kind, room.members, room.name))?;
            }
            Ok(())
        })?,
    }
    Ok(ExitCode::SUCCESS)
}
