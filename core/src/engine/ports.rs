//! What goes into the engine and what comes out: the ports to network, storage, sound and people.
//!
//! Every effect is an [`Output`], every completion of an effect an [`Input`]. A shell does the outputs in the order in which
//! they come; none of them is waited for inside the engine.
//!
//! | port | outputs | inputs |
//! |---|---|---|
//! | network | [`Output::Connect`], [`Output::Send`], [`Output::Voice`], [`Output::Disconnect`], [`Output::OpenPath`], [`Output::Datagram`], [`Output::RefreshToken`], [`Output::FetchEvents`], [`Output::FetchFrames`], [`Output::FetchPresence`], [`Output::FetchRoster`] | [`Input::Connected`], [`Input::ConnectFailed`], [`Input::Text`], [`Input::Binary`], [`Input::Closed`], [`Input::PathOpened`], [`Input::PathFailed`], [`Input::Datagram`], [`Input::Sent`], [`Input::NetworkUp`], [`Input::NetworkSign`], [`Input::Token`], [`Input::TokenFailed`], [`Input::EventsFetched`], [`Input::FramesFetched`], [`Input::PresenceFetched`], [`Input::RosterFetched`] |
//! | storage | [`Output::Store`], [`Output::LoadBurst`], [`Output::Reoffer`] | [`Input::StoreFailed`], [`Input::BurstLoaded`], at the start and after [`Output::Reoffer`] [`Input::Restore`] |
//! | sound | [`Output::StartCapture`], [`Output::StopCapture`], [`Output::StartPlayback`], [`Output::FramesCame`], [`Output::StopPlayback`] | [`Input::Captured`], [`Input::CaptureEnded`], [`Input::Played`], [`Input::PlaybackFailed`], [`super::Engine::pull`] |
//! | crypto | none yet: frames are opaque bytes here, sealed and opened by the sound port | |
//! | people | [`Output::Notice`], [`Output::Received`] | [`Input::Command`] |

mod storage;

use core::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use storage::{Restored, ServerTime, Spoken, Store};

use super::listen::Hearing;
use super::notice::Notice;
use crate::model::{BurstHeader, EventBody, PresenceState, Priority};
use crate::units::{Bitrate, BurstId, ClientId, Cursor, DeviceId, FrameMs, FrameNo, Incarnation, Mono, RoomId, UserId};
use crate::wire::datagram::PathOffer;
use crate::wire::presence::RoomPresence;
use crate::wire::rest::EventPage;
use crate::wire::voice::VoiceFrame;

/// Numbers the connections that an engine asked for, so that news of an old one is not taken for news of the present one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkNo(pub u32);

/// In which order a shell hands things to the network: what stands first goes first, and within a lane first come, first
/// served (DESIGN section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Live voice frames. Dropped when they waited longer than [`crate::wire::limits::VOICE_STALE`].
    Voice,
    /// Control messages.
    Control,
    /// Repair frames, and what must not overtake them.
    Repair,
    /// Frames of bursts that were spoken some time ago, and what must not overtake them. The engine sends none while one's own
    /// voice is live.
    Bulk,
}

/// Why a connection could not be made; the text beside it says more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ConnectFailure {
    /// The name has no address.
    Name,
    /// Nothing answers: no network, nothing listens, a wait that ended.
    Unreachable,
    /// The server's certificate is not trusted.
    Certificate,
    /// Something answered, but not a Holler server that takes this client: a captive portal, a proxy, an old server.
    Handshake,
}

/// Why something that was asked for over REST did not come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// It may work later: no network, 429, 5xx.
    Later(String),
    /// The same, and the server said how long to wait (`Retry-After`).
    After(Duration, String),
    /// It won't: refused, or not there.
    Never(String),
}

/// What a person asks for. Identifiers are drawn by the shell from the system's randomness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Follow a room: its events, its floor, and with `voice` its bursts.
    Follow {
        /// The room.
        room: RoomId,
        /// Where to go on; `None`: only what comes from now on.
        cursor: Option<Cursor>,
        /// Whether to hear it.
        voice: bool,
    },
    /// Stop following a room.
    Unfollow {
        /// The room.
        room: RoomId,
    },
    /// Which of the rooms plays when two talk at once.
    SetPrimary {
        /// The room; `None`: the one that began first goes on.
        room: Option<RoomId>,
    },
    /// Which of the rooms that are followed may be heard. An emergency always may.
    SetHearing {
        /// Which.
        hearing: Hearing,
    },
    /// A room is silent from now on, but for emergencies; or no longer.
    Mute {
        /// The room.
        room: RoomId,
        /// Whether it is silent.
        muted: bool,
    },
    /// Whether a person can hear what is played here: of one person's devices of which that is so, the one that was used last plays.
    /// To begin with, it is not: what is not heard aloud, as by a recorder, is played whatever other devices do.
    Aloud {
        /// Whether it is so.
        on: bool,
    },
    /// Somebody used this device: touched the page, say. A press of the talk button says it by itself.
    Used,
    /// The talk button went down.
    KeyDown {
        /// The room to talk in.
        room: RoomId,
        /// A new identifier for the burst.
        burst: BurstId,
        /// With which weight to ask for the floor.
        priority: Priority,
        /// Whether to wait in the queue when the floor is taken.
        queue: bool,
        /// Where the floor is denied: whether the burst is delivered all the same, as one that listeners play when they like.
        /// One that found no connection always is.
        when_free: bool,
        /// The length of the frames that the sound port will give.
        frame_ms: FrameMs,
        /// The encoder's target.
        bitrate: Bitrate,
    },
    /// The talk button came up.
    KeyUp,
    /// Give up what is being spoken, or waits for the floor: it stays on this device.
    Cancel,
    /// A burst that waits here, or is being repaired, is to be forgotten and not delivered. One that is being spoken goes on.
    ForgetBurst {
        /// The burst.
        burst: BurstId,
    },
    /// A text without an answer is to be forgotten. One that has left may arrive all the same.
    ForgetText {
        /// Its name.
        client_id: ClientId,
    },
    /// Append to a room's log: a `message.*` body.
    Send {
        /// The room.
        room: RoomId,
        /// A new identifier for the send.
        client_id: ClientId,
        /// What to append.
        body: EventBody,
    },
    /// Keep the copy of the roster fresh.
    KeepRoster,
    /// A person saw everything of a room up to here.
    Read {
        /// The room.
        room: RoomId,
        /// The last event seen.
        cursor: Cursor,
    },
    /// A person heard a burst to its end, played by other means than [`Output::StartPlayback`].
    Heard {
        /// The room.
        room: RoomId,
        /// The burst.
        burst: BurstId,
    },
    /// Say how the person is, until it is said otherwise; [`PresenceState::Unknown`] can't be said.
    SetPresence {
        /// The state.
        state: PresenceState,
    },
    /// Be told who of a room is here.
    WatchPresence {
        /// The room.
        room: RoomId,
    },
    /// Stop being told.
    UnwatchPresence {
        /// The room.
        room: RoomId,
    },
    /// The device was put away (a phone with its screen off), or taken up again: signs of life may be rarer, so that the radio
    /// sleeps. A link that dies without a word is then noticed within two and a half minutes instead of 25 s.
    PutAway {
        /// Whether it was put away.
        idle: bool,
    },
    /// Clear an emergency.
    ClearEmergency {
        /// The room.
        room: RoomId,
        /// Whose.
        raised_by: UserId,
    },
}

/// What happens to an engine.
#[derive(Clone, Debug)]
pub enum Input {
    /// Connect, and stay connected until [`Input::Stop`].
    Start,
    /// Disconnect and stay so.
    Stop,
    /// The shell saw the network come back or change: try now, and don't trust the old connection.
    NetworkUp,
    /// The shell has a sign that the server might be reached: a person looks at the screen again, or it answered something that
    /// the engine did not ask for. A wait for the next try ends; nothing that goes on is disturbed.
    NetworkSign,
    /// A new access token.
    Token {
        /// The token.
        access: String,
        /// How long it is valid.
        expires_in: Duration,
    },
    /// The token could not be refreshed.
    TokenFailed {
        /// Whether a new sign-in is needed; otherwise it is tried again.
        sign_in: bool,
        /// Why, for people.
        detail: String,
        /// How long the server wants this client to stay away.
        retry_after: Option<Duration>,
    },
    /// The socket is open.
    Connected {
        /// From [`Output::Connect`].
        link: LinkNo,
    },
    /// The socket could not be opened.
    ConnectFailed {
        /// From [`Output::Connect`].
        link: LinkNo,
        /// Why.
        failure: ConnectFailure,
        /// Why, for people.
        detail: String,
        /// How long the server wants this client to stay away.
        retry_after: Option<Duration>,
    },
    /// A text message came.
    Text {
        /// The connection.
        link: LinkNo,
        /// JSON, expected to be a `ServerMessage`.
        text: String,
    },
    /// A binary message came.
    Binary {
        /// The connection.
        link: LinkNo,
        /// Expected to be a voice frame.
        bytes: Bytes,
    },
    /// The socket is closed.
    Closed {
        /// The connection.
        link: LinkNo,
        /// The close frame's code, where one came.
        code: Option<u16>,
        /// The close frame's text, or what went wrong.
        detail: String,
    },
    /// The path is open: datagrams can be handed to it.
    PathOpened {
        /// The connection.
        link: LinkNo,
    },
    /// The path could not be opened, or ended by itself.
    PathFailed {
        /// The connection.
        link: LinkNo,
        /// Why, for people.
        detail: String,
    },
    /// A datagram came that the shell found genuine.
    Datagram {
        /// The connection.
        link: LinkNo,
        /// Its counter.
        counter: u32,
        /// What it says: [`crate::wire::datagram`].
        inner: Bytes,
    },
    /// Frames of the repair or the bulk lane were handed to the network: there is room for more.
    Sent {
        /// The connection.
        link: LinkNo,
        /// Bytes of payload of [`Output::Voice`] in those lanes.
        repair_bytes: usize,
    },
    /// The answer to [`Output::FetchEvents`].
    EventsFetched {
        /// The room.
        room: RoomId,
        /// A page after the cursor that was asked for.
        page: Result<EventPage, FetchError>,
    },
    /// The answer to [`Output::FetchRoster`]: whether the copy is fresh.
    RosterFetched {
        /// Why it is not.
        answer: Result<(), FetchError>,
    },
    /// The answer to [`Output::FetchPresence`].
    PresenceFetched {
        /// The room.
        room: RoomId,
        /// Who is here.
        answer: Result<RoomPresence, FetchError>,
    },
    /// The answer to [`Output::FetchFrames`].
    FramesFetched {
        /// The burst.
        burst: BurstId,
        /// What the server has in the range.
        frames: Result<Vec<(FrameNo, Bytes)>, FetchError>,
    },
    /// The answer to [`Output::LoadBurst`].
    BurstLoaded {
        /// The burst.
        burst: BurstId,
        /// All its frames, from 1; or why they can't be read, for people.
        frames: Result<Vec<Bytes>, String>,
    },
    /// The sound port recorded a frame. The first one says that capture really runs.
    Captured {
        /// From [`Output::StartCapture`].
        burst: BurstId,
        /// When its first sample was captured.
        captured_at: Mono,
        /// The encoded and sealed frame: 1 to 1,307 bytes.
        payload: Bytes,
    },
    /// No more frames will come: [`Output::StopCapture`] was done, or the source ended by itself.
    CaptureEnded {
        /// From [`Output::StartCapture`].
        burst: BurstId,
        /// Why, where it did not end as it should.
        fault: Option<String>,
    },
    /// The sound device has a frame that was pulled.
    Played {
        /// The burst.
        burst: BurstId,
        /// The frame.
        number: FrameNo,
        /// When its first sample is heard, or will be.
        heard_at: Mono,
    },
    /// A burst can't be played.
    PlaybackFailed {
        /// The burst.
        burst: BurstId,
        /// Why, for people.
        detail: String,
    },
    /// The store could not keep something.
    StoreFailed {
        /// Why, for people.
        detail: String,
    },
    /// Something that was not finished when the client last ran.
    Restore(Restored),
    /// A person asks.
    Command(Command),
    /// The time of [`super::Engine::poll_timeout`] has come.
    Timeout,
}

impl Input {
    /// Whether it is an answer of the server that came another way than over the socket.
    pub(super) fn is_answer(&self) -> bool {
        matches!(
            self,
            Self::EventsFetched { page: Ok(_), .. }
                | Self::RosterFetched { answer: Ok(()) }
                | Self::PresenceFetched { answer: Ok(_), .. }
                | Self::FramesFetched { frames: Ok(_), .. }
        )
    }
}

/// A burst that somebody else spoke, as far as it is known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The room.
    pub room: RoomId,
    /// How it is coded.
    pub header: BurstHeader,
    /// Who spoke.
    pub user: UserId,
    /// From which device.
    pub device: DeviceId,
    /// When it was spoken, by the server's clock, and how far that may be off; `None` before the log told it.
    pub spoken: Option<ServerTime>,
    /// Whether it was brought afterwards: spoken offline, or without the floor.
    pub brought: bool,
    /// What is there, in order.
    pub frames: Vec<(FrameNo, Bytes)>,
    /// The last frame, where the sender ended the burst.
    pub last: Option<FrameNo>,
    /// Whether every frame is there and the sender's digest agrees.
    pub complete: bool,
}

/// What a shell must do.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Open a socket. A socket opened before is closed.
    Connect {
        /// To be named in everything about it.
        link: LinkNo,
    },
    /// Close the socket.
    Disconnect {
        /// The connection.
        link: LinkNo,
    },
    /// Send a text message: JSON.
    Send {
        /// The connection.
        link: LinkNo,
        /// In which order.
        lane: Lane,
        /// The message.
        text: String,
    },
    /// Send a voice frame as a binary message. The shell states its age when it hands it to the network.
    Voice {
        /// The connection.
        link: LinkNo,
        /// Live frames go in the voice lane, repair in its own.
        lane: Lane,
        /// The frame, its age as of now.
        frame: VoiceFrame,
        /// When its first sample was captured.
        captured_at: Mono,
    },
    /// Open a voice path beside the socket, in place of an earlier one: [`Input::PathOpened`] or [`Input::PathFailed`]. It is closed
    /// with the socket.
    OpenPath {
        /// The connection.
        link: LinkNo,
        /// How to reach it.
        offer: PathOffer,
    },
    /// Send a datagram on the path at once, or not at all: it is never late that way.
    Datagram {
        /// The connection.
        link: LinkNo,
        /// Its counter, from 1 and rising.
        counter: u32,
        /// What it says: [`crate::wire::datagram`].
        inner: Bytes,
        /// When the first sample of the live frame in it was captured; `None`: it has none.
        captured_at: Option<Mono>,
    },
    /// Fetch a new access token with the refresh token.
    RefreshToken,
    /// `GET rooms/{room}/events`
    FetchEvents {
        /// The room.
        room: RoomId,
        /// The last event that is known.
        after: Cursor,
    },
    /// `GET rooms/{room}/bursts/{burst}/frames`
    FetchFrames {
        /// The room.
        room: RoomId,
        /// The burst.
        burst: BurstId,
        /// The first frame wanted.
        from: FrameNo,
        /// The last frame wanted.
        to: FrameNo,
    },
    /// `GET presence?room=…`
    FetchPresence {
        /// The room.
        room: RoomId,
    },
    /// `GET roster?since=…`, from where the copy stands, and keep the answer.
    FetchRoster,
    /// Keep something in the local store.
    Store(Store),
    /// Read the frames of one's own burst from the local store: [`Input::BurstLoaded`].
    LoadBurst {
        /// The burst.
        burst: BurstId,
    },
    /// The log of a room has this history. Where the local store has texts and bursts that were acked in another one, hand them
    /// in again as [`Input::Restore`], in their order: a backup was restored, which may lack them. Said once for each history
    /// of each room in a run.
    Reoffer {
        /// The room.
        room: RoomId,
        /// Its history.
        incarnation: Incarnation,
    },
    /// Begin to record at once: every moment until the first [`Input::Captured`] is speech that may be lost.
    StartCapture {
        /// To be named in everything about it.
        burst: BurstId,
        /// How to code the frames.
        header: BurstHeader,
    },
    /// Stop recording, after what was said until now: the remaining frames come, then [`Input::CaptureEnded`].
    StopCapture {
        /// The burst.
        burst: BurstId,
    },
    /// Begin to play a burst: pull its frames by [`super::Engine::pull`] as the sound device needs them.
    StartPlayback {
        /// The burst.
        burst: BurstId,
        /// The room.
        room: RoomId,
        /// How it is coded.
        header: BurstHeader,
        /// Who speaks.
        user: UserId,
    },
    /// Frames came for bursts that play: a sound device that waits should pull now.
    FramesCame,
    /// Stop playing a burst at once. One that plays to its end ends by itself: [`super::Engine::pull`] says so.
    StopPlayback {
        /// The burst.
        burst: BurstId,
    },
    /// A burst that was heard or missed: all of it, or as much as there will be for now. It may come again when more came.
    Received(Received),
    /// Something that people, or the program around the client, want to know.
    Notice(Notice),
}
