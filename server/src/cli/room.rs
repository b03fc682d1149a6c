//! `hollerd room`

use std::process::ExitCode;

use holler_core::model::{Role, RoomKind};
use holler_core::units::RoomId;

use super::access::random;
use super::{beside, say};
use crate::api::bounds;
use crate::config::Config;

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
    /// List the rooms
    List,
}

pub(super) fn run(config: &Config, command: RoomCommand) -> anyhow::Result<ExitCode> {
    match command {
        RoomCommand::Add { name, kind } => {
            bounds::name("name", &name)?;
            let room = RoomId::from_bytes(random()?);
            beside(config, async |desk| {
                desk.change(move |accounts, now| Ok(accounts.add_room(room, kind, &name, now)?)).await?;
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
        RoomCommand::List => beside(config, async |desk| {
            for room in desk.auth.read(|accounts| Ok(accounts.rooms()?)).await? {
                say(format_args!("{}\t{}\t{}\t{}", room.id, room.kind, room.members, room.name))?;
            }
            Ok(())
        })?,
    }
    Ok(ExitCode::SUCCESS)
}
