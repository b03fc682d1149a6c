//! The seam between screens and host: what a person asks for, and what the host tells.

use std::rc::Rc;

use holler_core::engine::Notice;
use holler_core::model::Event;
use holler_core::units::{BurstId, ClientId, DeviceId, FrameMs, RoomId, UserId};
use holler_core::wire::rest::{Person, Room};

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
    /// A room is looked at: it plays first when two talk.
    Open(RoomId),
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
    },
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
    },
    /// Open the microphone now, so that the first press need not wait for it.
    Microphone,
    /// Connect now.
    Connect,
    /// Sound a tone.
    Tone(Tone),
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
    /// The rooms and the people, complete.
    Directory {
        /// The name of the workspace.
        workspace: String,
        /// The rooms that the user is in.
        rooms: Vec<Room>,
        /// Everybody whom the user sees.
        people: Vec<Person>,
    },
    /// The latest events of a room before those that are told by [`Notice::Event`].
    History {
        /// The room.
        room: RoomId,
        /// In order.
        events: Vec<Event>,
    },
    /// From the engine.
    Notice(Notice),
    /// How loud it is, 0 to 1.
    Level(f32),
    /// Whether a burst of the past plays.
    Replaying(Option<BurstId>),
    /// The microphone.
    Microphone(Microphone),
    /// Whether the system lets this client sound; browsers do once the page was touched.
    Audible(bool),
    /// A key that stands for the talk button went down (`true`) or up, or the button can't be held any longer.
    Key(bool),
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
