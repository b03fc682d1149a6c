//! What page and worker tell each other, as JSON in `postMessage`; what the worker tells together, a line each. Page and worker
//! are of one build, so the form promises nothing.

use holler_core::engine::{Command, Heard, LinkReason, Notice, SpokenFigures};
use holler_core::model::{Event, InvitesBy};
use holler_core::units::{BurstId, ClientId, Cursor, DeviceId, FrameMs, RoomId, UserId};
use holler_core::wire::rest::{Device, InviteOffer, NewInvite, Person, Room};
use serde::{Deserialize, Serialize};

use crate::store::Queued;

/// How a trial of the microphone goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trial {
    /// It records.
    Recording,
    /// It plays what it recorded.
    Playing,
    /// It is over.
    Over,
}

/// Why something did not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// The `type` of the server's problem; `unreachable`, `foreign` where it was not the server that answered.
    pub kind: String,
    /// In English: what happened, and what to do.
    pub detail: String,
}

/// What did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Missing {
    /// The list of rooms.
    Rooms,
    /// The past of a room.
    Past,
    /// The list of devices.
    Devices,
    /// What the server keeps of the person.
    Data,
    /// A burst of the past.
    Burst,
}

/// How this browser keeps things for this page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Storage {
    /// On the disk.
    Kept,
    /// There is no room: what is said now is kept only until this tab is closed.
    Full,
    /// It keeps nothing (a private window, or a disk that fails): the same.
    Missing {
        /// Why, in the browser's words.
        detail: String,
    },
    /// Another tab runs a newer version of this page, and has the store: the same, until this one is loaded anew.
    Newer,
}

/// What to do with something that waits to be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Waiting {
    /// Deliver it now: try to connect, and let go what was held back.
    Send(BurstId),
    /// Forget a burst.
    DropBurst(BurstId),
    /// Forget a text.
    DropText(ClientId),
    /// Play it.
    Play(BurstId),
}

/// From the page to the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToWorker {
    /// Sign in.
    SignIn {
        /// The sign-in name.
        login: String,
        /// The password.
        password: String,
        /// What to call this browser in the list of devices.
        device_name: String,
    },
    /// Sign out, and forget everything.
    SignOut,
    /// See what an invite offers.
    LookInvite {
        /// What stands behind `#` in its link.
        token: String,
    },
    /// Join by an invite. Whoever is signed in here is signed out.
    Join {
        /// What stands behind `#` in its link.
        token: String,
        /// The sign-in name to have.
        login: String,
        /// The name that others see.
        name: String,
        /// The password to have.
        password: String,
        /// What to call this browser in the list of devices.
        device_name: String,
    },
    /// Set a new password by a one-time link. Whoever is signed in here is signed out.
    Reset {
        /// What stands behind `#` in the link.
        token: String,
        /// The password to have.
        password: String,
        /// What to call this browser in the list of devices.
        device_name: String,
    },
    /// Something for the engine.
    Command(Command),
    /// Something is to become of what waits.
    Waiting(Waiting),
    /// Connect anew: the network came back, or this page is to be the one that is connected.
    Connect,
    /// Somebody looks at the page again: a long wait for the next try ends.
    Look,
    /// Play a burst of the past again.
    Replay {
        /// The room.
        room: RoomId,
        /// The burst.
        burst: BurstId,
        /// The length of its frames.
        frame_ms: FrameMs,
        /// From where on, ms; of the burst that plays already: go there.
        from_ms: u32,
        /// How fast, in percent.
        speed: u16,
    },
    /// Stop playing a burst of the past.
    StopReplay,
    /// Open the direct room with somebody.
    Direct(UserId),
    /// Make an invite.
    Invite(NewInvite),
    /// Fetch what came before this event of a room.
    Earlier {
        /// The room.
        room: RoomId,
        /// The earliest event that is known.
        before: Cursor,
    },
    /// Fetch the list of the person's devices.
    Devices,
    /// Sign a device out.
    Revoke(DeviceId),
    /// Fetch everything that the server keeps of the person.
    Export,
    /// Ask the server something about notifications: the page has what browsers know of them, the worker the token.
    Push {
        /// Names the request in its answer.
        number: u32,
        /// The method.
        method: String,
        /// What stands behind `/api/v1/push` in the path.
        path: String,
        /// JSON; empty for none.
        body: String,
    },
    /// The microphone is there.
    Microphone {
        /// How long a sample takes from the air to the sound thread, µs, as far as the browser knows.
        latency_us: u32,
    },
    /// The microphone is not to be had; a burst that waits for it has failed.
    NoMicrophone {
        /// Why, by a name that the screens have words for.
        why: String,
    },
    /// The ports that the sound thread sits at come with this message: first the capture's, then the playback's.
    Sound,
    /// Whether this page can be heard: browsers keep it silent until somebody touched it.
    Aloud(bool),
    /// How long a sample takes from the sound thread to the air, µs. It changes with the device.
    OutputLatency(u32),
    /// How loud rooms and people are, in percent of what comes; 100 where nothing is said.
    Volumes {
        /// Of rooms.
        rooms: Vec<(RoomId, u8)>,
        /// Of people.
        people: Vec<(UserId, u8)>,
    },
    /// Record a few seconds and play them, as others would hear them.
    TryMicrophone,
    /// Whether to tell how it goes, once a second.
    Watch(bool),
}

/// From the worker to the page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToPage {
    /// Nobody is signed in.
    SignedOut {
        /// Why, where it was not asked for.
        reason: Option<LinkReason>,
        /// How much was said and written here and not delivered: it goes out when the same person signs in here again.
        waits: usize,
    },
    /// Somebody is signed in.
    SignedIn {
        /// Who.
        user: UserId,
        /// As which device.
        device: DeviceId,
        /// The sign-in name.
        login: String,
    },
    /// A sign-in failed.
    SignInFailed(Why),
    /// What the invite offers, or why it is not good.
    Offer(Result<InviteOffer, Why>),
    /// Joining, or setting a new password, failed.
    EntryFailed(Why),
    /// The rooms and the people, complete.
    Directory {
        /// The name of the workspace.
        workspace: String,
        /// The rooms that the user is in.
        rooms: Vec<Room>,
        /// Everybody whom the user sees.
        people: Vec<Person>,
        /// Who may invite, as the policy has it.
        invites_by: InvitesBy,
    },
    /// Who became a member of a room, and who is one no more, since it was last told.
    Members {
        /// The room.
        room: RoomId,
        /// Who came.
        joined: Vec<UserId>,
        /// Who went.
        left: Vec<UserId>,
        /// Whether it is told at once.
        live: bool,
    },
    /// The direct room that was asked for, or why there is none.
    Direct(Result<RoomId, Why>),
    /// The link of the invite that was asked for and its drawing as a code (SVG), or why there is none.
    Invited(Result<(String, String), Why>),
    /// How loud a burst is along its length, as far as it was decoded or recorded.
    Wave {
        /// The burst.
        burst: BurstId,
        /// From its beginning to its end, each 0 to 255.
        bars: Vec<u8>,
        /// How many frames that reaches over.
        frames: u16,
    },
    /// A burst of the past was played to its end.
    Heard(BurstId),
    /// How far the burst of the past that plays has come, ms.
    Position(u32),
    /// The latest events of a room before those that [`Notice::Event`] tells.
    History {
        /// The room.
        room: RoomId,
        /// In order.
        events: Vec<Event>,
    },
    /// From the engine.
    Notice(Notice),
    /// The person's devices.
    Devices(Vec<Device>),
    /// The answer to a request about notifications: JSON, or why there is none.
    Push {
        /// Names the request.
        number: u32,
        /// What came of it.
        answer: Result<String, String>,
    },
    /// Everything that the server keeps of the person, as lines of JSON.
    Exported(String),
    /// How loud it is, 0 to 1, about 15 times a second while something is recorded or played.
    Level(f32),
    /// A burst of the past is being played, or (`None`) no longer.
    Replaying(Option<BurstId>),
    /// How the trial of the microphone goes.
    Trying(Trial),
    /// How it goes, once a second while that is watched, and after each burst.
    Quality {
        /// The burst that was spoken last.
        spoken: Option<SpokenFigures>,
        /// The burst that was heard last.
        heard: Option<Heard>,
        /// The loss of voice datagrams on the way to the server and on the way here, in thousandths; absent: the socket carries.
        path: Option<(u16, u16)>,
    },
    /// Something did not come.
    Missing(Missing, Why),
    /// Whether this tab leads: it is the one that sounds.
    Leading(bool),
    /// What is not delivered yet, in its order.
    Queue(Vec<Queued>),
    /// How things are kept, where that changed. At first they are.
    Storage(Storage),
    /// So many of the records that are kept of what was said and written here do not open: they are set aside.
    Damaged(usize),
    /// Something did not work that has no other place.
    Fault {
        /// What happened, and what to do.
        detail: String,
    },
}
