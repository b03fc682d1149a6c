//! The seam between screens and host: what a person asks for, and what the host tells.

use std::rc::Rc;

use holler_core::engine::{Heard, Hearing, Notice, SpokenFigures};
use holler_core::model::{Event, InvitesBy, PresenceState, Role};
use holler_core::units::{BurstId, ClientId, Cursor, DeviceId, FrameMs, RoomId, Seq, UserId};
use holler_core::wire::rest::{Device, InviteOffer, Person, Room};

use crate::state::Settings;
use crate::words::Language;

/// What a person asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// Sign in.
    SignIn {
        /// The sign-in name.
        login: String,
        /// The password.
        password: String,
    },
    /// Sign out and forget.
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
    },
    /// Set a new password by a one-time link. Whoever is signed in here is signed out.
    Reset {
        /// What stands behind `#` in the link.
        token: String,
        /// The password to have.
        password: String,
    },
    /// The link that led here is done with: it is to leave the address.
    LeaveLink,
    /// A room is looked at: it plays first when two talk, and its people are watched.
    Open(RoomId),
    /// A room is no longer looked at.
    Close(RoomId),
    /// The person saw everything of a room up to here.
    Read {
        /// The room.
        room: RoomId,
        /// The last event seen.
        cursor: Cursor,
    },
    /// Say how the person is.
    Presence(PresenceState),
    /// Live voice is to play here, where another device of the person plays.
    Used,
    /// The talk button went down.
    KeyDown {
        /// The room.
        room: RoomId,
        /// Whether it is an emergency.
        emergency: bool,
    },
    /// The talk button came up.
    KeyUp,
    /// Send a text.
    Send {
        /// The room.
        room: RoomId,
        /// A new name for it.
        client_id: ClientId,
        /// The text: 1 to 4,000 characters.
        text: String,
        /// What it answers.
        reply_to: Option<Seq>,
    },
    /// Change one's own text, or take a text back.
    Change {
        /// The room.
        room: RoomId,
        /// A new name for the change.
        client_id: ClientId,
        /// The text's place in the log.
        target: Seq,
        /// What it is to say; `None`: it is taken back.
        text: Option<String>,
    },
    /// Open the direct room with somebody.
    Direct(UserId),
    /// Make an invite into a room.
    Invite {
        /// The room.
        room: RoomId,
        /// What those who join may do there.
        role: Role,
        /// How many may join.
        uses: u32,
        /// How long it is good, days.
        days: u32,
    },
    /// Hand words to the system's clipboard.
    Copy(String),
    /// Clear somebody's emergency.
    ClearEmergency {
        /// The room.
        room: RoomId,
        /// Whose.
        raised_by: UserId,
    },
    /// Play a burst of the past.
    Replay {
        /// The room.
        room: RoomId,
        /// The burst.
        burst: BurstId,
        /// The length of its frames.
        frame_ms: FrameMs,
        /// From where on, ms from its beginning. Of the burst that plays already: go there.
        from_ms: u32,
        /// How fast, in percent of how it was spoken: 100, 150 or 200. The voice keeps its pitch.
        speed: u16,
    },
    /// Stop playing a burst of the past.
    StopReplay,
    /// Show what came before this event of a room.
    Earlier {
        /// The room.
        room: RoomId,
        /// The earliest event that is here.
        before: Cursor,
    },
    /// Keep the settings, and go by them.
    Set(Settings),
    /// Say which devices one is signed in on, and which microphones there are.
    Devices,
    /// Sign a device out.
    Revoke(DeviceId),
    /// Save everything that the server keeps of the person as a file.
    Export,
    /// Which of the rooms may be heard.
    Hear(Hearing),
    /// A room is silent from now on, or no longer.
    Mute {
        /// The room.
        room: RoomId,
        /// Whether it is silent.
        muted: bool,
    },
    /// Record a few seconds and play them, as others would hear them.
    TryMicrophone,
    /// Whether to tell how it goes, once a second.
    Watch(bool),
    /// Load the page anew.
    Reload,
    /// Have this device told of what it missed, or no more.
    Telling(bool),
    /// Open the microphone now, so that the first press need not wait for it.
    Microphone,
    /// The talk button is about to be pressed: what it needs is made ready, where nobody has to be asked for it.
    Ready,
    /// Connect now.
    Connect,
    /// Something is to become of what waits to be delivered.
    Waiting(Waiting),
    /// Sound a tone.
    Tone(Tone),
}

/// Whether this device is told of what it missed while no page is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Telling {
    /// It can't be, or the host has not said yet.
    #[default]
    Never,
    /// Nobody was asked.
    Unasked,
    /// It is not.
    Off,
    /// It is.
    On,
    /// The person, or whoever looks after the browser, does not let it.
    Refused,
}

/// What can be heard of a press without looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Speak now.
    Grant,
    /// Over.
    Release,
    /// No.
    Denied,
    /// The talk limit is near.
    Warning,
    /// Somebody else talks: one's turn comes.
    Busy,
    /// Something was said that was not played.
    Missed,
    /// Somebody's emergency is on, and was not acknowledged here.
    Alarm,
}

/// What the buttons of a headset or a lock screen stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// Play what was missed in the room that is looked at.
    Play,
    /// Stop what plays of the past.
    Stop,
    /// End the press that goes on.
    HangUp,
}

/// A link that led here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// An invite.
    Invite {
        /// What stands behind `#`.
        token: String,
    },
    /// A one-time link for a new password.
    Reset {
        /// What stands behind `#`.
        token: String,
    },
}

/// Who is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Who.
    pub user: UserId,
    /// As which device.
    pub device: DeviceId,
    /// The sign-in name.
    pub login: String,
}

/// Whether there is a microphone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Microphone {
    /// Not opened: the first press does it.
    #[default]
    Off,
    /// The system is asking the person, or starting it.
    Asking,
    /// Open.
    On,
    /// Not to be had: why, and what to do.
    Failed(String),
}

/// How a trial of the microphone goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trial {
    /// There is none.
    #[default]
    Over,
    /// It records.
    Recording,
    /// It plays what it recorded.
    Playing,
}

/// Something that is not delivered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waits {
    /// The room.
    pub room: RoomId,
    /// It is held back until somebody says otherwise: given up, denied or refused.
    pub held: bool,
    /// Since when, ms since 1970, by this device's clock.
    pub since: u64,
    /// What it is.
    pub what: WaitsWhat,
}

/// What waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitsWhat {
    /// A text.
    Text {
        /// Its name.
        client_id: ClientId,
        /// What it says.
        text: String,
    },
    /// A burst.
    Burst {
        /// Its name.
        burst: BurstId,
        /// How long it is; `None`: it is being spoken.
        length_ms: Option<u32>,
        /// It ends where the client went down.
        cut: bool,
    },
}

/// What is to become of something that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// It is to be delivered now.
    Send(BurstId),
    /// It is to be forgotten.
    DropBurst(BurstId),
    /// It is to be forgotten.
    DropText(ClientId),
    /// It is to be heard.
    Play(BurstId),
}

/// How things are kept over a restart of this client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    /// On the disk.
    #[default]
    Kept,
    /// There is no room.
    Full,
    /// Not at all: why, in the system's words.
    Missing(String),
    /// By a newer version of this client, which has the store.
    Newer,
}

/// What the host tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// Nobody is signed in.
    SignedOut {
        /// Why, where it was not asked for.
        reason: Option<String>,
    },
    /// Somebody is signed in.
    SignedIn(Identity),
    /// A sign-in failed: what happened, and what to do.
    SignInFailed(String),
    /// The page was opened by a link. Told before anything else.
    Opened(Entry),
    /// A room is to be shown: its notification was touched.
    Show(RoomId),
    /// What the invite offers, or why it is not good.
    Offer(Result<InviteOffer, String>),
    /// Joining, or setting a new password, failed: what happened, and what to do.
    EntryFailed(String),
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
        /// Whether it was told at once; else this client was away when it happened.
        live: bool,
    },
    /// The direct room that was asked for, or why there is none. It is in the directory that was told before.
    Direct(Result<RoomId, String>),
    /// The link of the invite that was asked for and its drawing as a code (SVG), or why there is none.
    Invited(Result<(String, String), String>),
    /// How loud a burst is along its length, as far as it was decoded or recorded here.
    Wave {
        /// The burst.
        burst: BurstId,
        /// From its beginning to its end, each 0 to 255.
        bars: Vec<u8>,
        /// How many frames it has, as far as that is known.
        frames: u16,
    },
    /// A burst of the past was played to its end.
    Heard(BurstId),
    /// How far the burst of the past that plays has come, ms.
    Position(u32),
    /// The latest events of a room before those that are told by [`Notice::Event`].
    History {
        /// The room.
        room: RoomId,
        /// In order.
        events: Vec<Event>,
    },
    /// A button of a headset or a lock screen was pressed.
    Media(Media),
    /// From the engine.
    Notice(Notice),
    /// Another language is spoken from now on.
    Words {
        /// Which.
        language: Language,
        /// Its file; empty for the one that is built in.
        file: String,
    },
    /// What was set on this device before. Told before anything else.
    Settings(Settings),
    /// The microphones: the host's name and people's name for each.
    Microphones(Vec<(String, String)>),
    /// The devices that one is signed in on, or was.
    Devices(Vec<Device>),
    /// How loud it is, 0 to 1.
    Level(f32),
    /// How the trial of the microphone goes.
    Trial(Trial),
    /// How it goes with what is spoken and heard.
    Quality {
        /// The burst that was spoken last.
        spoken: Option<SpokenFigures>,
        /// The burst that was heard last.
        heard: Option<Heard>,
        /// The loss of voice datagrams on the way to the server and on the way here, in thousandths; absent: the socket carries.
        path: Option<(u16, u16)>,
    },
    /// Nobody is signed in, for the system threw away what this client kept.
    Evicted,
    /// What is not delivered yet, in its order.
    Queue(Vec<Waits>),
    /// How things are kept.
    Storage(Storage),
    /// The server has another version of this client.
    Outdated,
    /// Whether this device is told of what it missed.
    Telling(Telling),
    /// By so many ms this device's clock is ahead of the server's (behind it: below zero).
    ClockOff(f64),
    /// Whether a burst of the past plays.
    Replaying(Option<BurstId>),
    /// The microphone.
    Microphone(Microphone),
    /// Whether the system lets this client sound; browsers do once the page was touched.
    Audible(bool),
    /// A key that stands for the talk button went down (`true`) or up, or the button can't be held any longer.
    Key(bool),
    /// The talk button was activated without being held: by another key, a screen reader or a switch.
    Clicked,
    /// The page goes away: whatever is held or latched ends.
    Gone,
    /// Whether the screens can be seen.
    Visible(bool),
    /// A quarter of a second went by.
    Tick,
    /// Something that has no other place: what happened, and what to do.
    Fault(String),
}

/// The host, as the screens see it.
#[derive(Clone)]
pub struct Host {
    ask: Rc<dyn Fn(Ask)>,
    now_ms: fn() -> f64,
    clock: fn(u64) -> String,
    random: fn() -> [u8; 16],
}

impl Host {
    /// A host that does what `ask` is given, tells the time (`now_ms`: ms since 1970, for showing only), shows a moment as people
    /// here read it (`clock`: ms since 1970 to hours and minutes), and draws 16 random bytes (`random`).
    pub fn new(
        ask: impl Fn(Ask) + 'static,
        now_ms: fn() -> f64,
        clock: fn(u64) -> String,
        random: fn() -> [u8; 16],
    ) -> Self {
        Self { ask: Rc::new(ask), now_ms, clock, random }
    }

    /// 16 random bytes.
    pub fn random(&self) -> [u8; 16] {
        (self.random)()
    }

    /// Asks for something.
    pub fn ask(&self, ask: Ask) {
        (self.ask)(ask);
    }

    /// Now, ms since 1970.
    pub fn now_ms(&self) -> f64 {
        (self.now_ms)()
    }

    /// A moment as hours and minutes.
    pub fn clock(&self, unix_ms: u64) -> String {
        (self.clock)(unix_ms)
    }
}

impl PartialEq for Host {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.ask, &other.ask)
    }
}
