//! Every bound on what comes from outside, and every wait, in one place.

use core::time::Duration;

/// Longest text message, in characters.
pub const TEXT_CHARS_MAX: usize = 4_000;
/// Longest text message, in bytes of UTF-8.
pub const TEXT_BYTES_MAX: usize = 16_000;
/// Longest name of a user, room, device or workspace, in characters; the shortest is 1.
pub const NAME_CHARS_MAX: usize = 80;
/// Longest sign-in name, in characters: `a-z 0-9 . _ -`, beginning with a letter or digit.
pub const LOGIN_CHARS_MAX: usize = 64;
/// Shortest password, in characters, unless the workspace's policy says otherwise.
pub const PASSWORD_CHARS_MIN: usize = 10;
/// Longest password, in bytes of UTF-8.
pub const PASSWORD_BYTES_MAX: usize = 256;

/// What the shortest password of a workspace may be set to, in characters.
pub const PASSWORD_CHARS_MIN_RANGE: core::ops::RangeInclusive<u32> = 8..=64;
/// What the talk limit of a workspace or room may be set to, s.
pub const TALK_LIMIT_S: core::ops::RangeInclusive<u32> = 10..=600;
/// What the longest life of an invite may be set to, days.
pub const INVITE_DAYS: core::ops::RangeInclusive<u32> = 1..=90;
/// How long rooms may keep their events, days.
pub const RETENTION_DAYS: core::ops::RangeInclusive<u32> = 1..=3_650;
/// Users of a workspace, suspended ones too.
pub const USERS_MAX: u32 = 10_000;
/// Rooms of a workspace.
pub const ROOMS_MAX: u32 = 5_000;
/// Members of one room; a direct room has two.
pub const ROOM_MEMBERS_MAX: u32 = 5_000;
/// Tokens for scripts that one user has at one time.
pub const TOKENS_MAX: u32 = 32;
/// Rooms that one invite leads into.
pub const INVITE_ROOMS_MAX: usize = 64;
/// How long an invite is good, s: a minute to 90 days.
pub const INVITE_LIFE_S: core::ops::RangeInclusive<u32> = 60..=90 * 86_400;
/// How long an invite is good when its maker does not say, s: a week.
pub const INVITE_LIFE_S_DEFAULT: u32 = 7 * 86_400;
/// How many people one invite may let in; at least 1.
pub const INVITE_USES_MAX: u32 = 1_000;
/// Invites of a workspace that are good at one time.
pub const INVITES_MAX: u32 = 1_000;
/// How long a one-time link for a new password is good, s: a minute to a week.
pub const RESET_LIFE_S: core::ops::RangeInclusive<u32> = 60..=7 * 86_400;
/// How long a one-time link for a new password is good when its maker does not say, s: an hour.
pub const RESET_LIFE_S_DEFAULT: u32 = 3_600;
/// Longest token of a link, in characters.
pub const LINK_TOKEN_CHARS_MAX: usize = 64;

/// Longest endpoint of a Web Push subscription, in characters.
pub const PUSH_ENDPOINT_CHARS_MAX: usize = 1_024;
/// Longest registration token of Firebase Cloud Messaging, in characters.
pub const PUSH_FCM_TOKEN_CHARS_MAX: usize = 4_096;
/// A device token of the Apple Push Notification service, in hexadecimal digits.
pub const PUSH_APNS_TOKEN_CHARS: core::ops::RangeInclusive<usize> = 64..=200;
/// Longest bundle identifier, in characters.
pub const PUSH_APNS_TOPIC_CHARS_MAX: usize = 128;
/// Notifications that wait for one device; beyond, the oldest that is no emergency makes room.
pub const PUSH_WAITING_MAX: u32 = 64;
/// How often a notification is tried before it is given up.
pub const PUSH_ATTEMPTS_MAX: u32 = 8;

/// Largest control message on the socket, in bytes.
pub const CONTROL_BYTES_MAX: usize = 64 * 1024;
/// Largest body of a REST request, in bytes.
pub const REST_BODY_BYTES_MAX: usize = 256 * 1024;
/// Largest page of a room's log, in events.
pub const PAGE_EVENTS_MAX: u32 = 500;
/// A page of a room's log when the client names no size, in events.
pub const PAGE_EVENTS_DEFAULT: u32 = 100;
/// Longest `Idempotency-Key`, in characters.
pub const IDEMPOTENCY_KEY_CHARS_MAX: usize = 128;
/// Keys of one device that are remembered; a further one replaces the oldest.
pub const IDEMPOTENCY_KEYS_MAX: u32 = 256;
/// How long the answer to a request with a key is remembered.
pub const IDEMPOTENCY_KEPT: Duration = Duration::from_secs(24 * 3600);
/// Largest page of a list, in items; also its size when the client names none.
pub const PAGE_ITEMS_MAX: u32 = 500;
/// Longest cursor of a list, in characters.
pub const CURSOR_CHARS_MAX: usize = 512;
/// Longest sync token of the roster, in characters.
pub const SYNC_TOKEN_CHARS_MAX: usize = 256;
/// Days for which a sync token of the roster is good.
pub const SYNC_TOKEN_DAYS: u32 = 30;
/// Rooms that one socket may be subscribed to.
pub const SUBSCRIPTIONS_MAX: usize = 256;
/// Sends of one socket that may be waiting for their answer.
pub const SENDS_IN_FLIGHT_MAX: usize = 256;

/// Largest sealed Opus frame, in bytes: 1,275 (RFC 6716 section 3.2.1) and room for end-to-end encryption's overhead.
pub const FRAME_BYTES_MAX: usize = 1_275 + 32;
/// Highest frame number: five minutes of 20 ms frames.
pub const FRAMES_PER_BURST_MAX: u16 = 15_000;
/// Largest burst, in bytes of its frames: five minutes at 128 kbit/s is 4.8 MB.
pub const BURST_BYTES_MAX: usize = 5 * 1024 * 1024;
/// Most ranges of missing frames told at once; the client sends those and asks again.
pub const MISSING_RANGES_MAX: usize = 64;
/// Lowest and highest bit rate of a burst, bit/s.
pub const BURST_BITRATE: core::ops::RangeInclusive<u32> = 6_000..=128_000;
/// Latest that an offline burst may be uploaded after it was spoken.
pub const SPOKEN_AGO_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// Bursts of one device that were offered and are not settled; a further offer is put off.
pub const OFFERS_OPEN_MAX: usize = 8;

/// Time that a new socket has for its `auth` message.
pub const AUTH_WAIT: Duration = Duration::from_secs(5);
/// How often a client sends `ping` while nothing else is sent.
pub const HEARTBEAT: Duration = Duration::from_secs(15);
/// Longest wait between signs of life that an idle client may promise in `ping`: a phone's radio then works for a few seconds in
/// two minutes. Longer, and the tables of mobile networks forget the connection.
pub const HEARTBEAT_IDLE_MAX: Duration = Duration::from_secs(120);
/// How much later than promised a sign of life may come: a radio that wakes, a packet that is sent three times.
pub const HEARTBEAT_SLACK: Duration = Duration::from_secs(25);
/// A socket from which nothing came for this long is lost, unless its client promised its next sign of life for later.
pub const SILENCE_MAX: Duration = Duration::from_secs(HEARTBEAT.as_secs() + HEARTBEAT_SLACK.as_secs());
/// How long after a socket closed its device still counts as it was, so that a reconnect does not flicker.
pub const PRESENCE_GRACE: Duration = Duration::from_secs(5);
/// How much later than promised a sign of life of the device that plays live voice may come before another of the person's does.
pub const PLAYING_SLACK: Duration = Duration::from_secs(5);
/// How often a device that another one silences says at most that it was used.
pub const PLAYING_USED: Duration = Duration::from_secs(1);
/// How often a device that plays says at most that it was used.
pub const PLAYING_USED_HERE: Duration = Duration::from_secs(30);
/// Largest room of which every member's presence is told; of a larger one only how many are in which state.
pub const PRESENCE_LIST_MAX: usize = 100;
/// How often a client asks over REST who is here while the server can't tell it, half of it to the whole, drawn.
pub const PRESENCE_POLL: Duration = Duration::from_secs(30);
/// Bursts that one `receipt` may name.
pub const RECEIPT_BURSTS_MAX: usize = 64;
/// People that an answer about receipts names; it counts all.
pub const RECEIPT_PEOPLE_MAX: usize = 1_000;
/// How often a client that has or awaits the floor sends `ping` while it sends no voice.
pub const HEARTBEAT_TALKING: Duration = Duration::from_millis(500);
/// A floor holder from whom nothing came for this long loses the floor.
pub const HOLDER_SILENCE_MAX: Duration = Duration::from_secs(2);
/// Longest continuous talk, by default.
pub const TALK_LIMIT: Duration = Duration::from_secs(60);
/// How long before the talk limit the warning comes.
pub const TALK_WARNING: Duration = Duration::from_secs(10);
/// A queued floor request expires after this long.
pub const QUEUE_WAIT_MAX: Duration = Duration::from_secs(60);
/// Most requests queued for the floor of one room.
pub const FLOOR_QUEUE_MAX: usize = 64;
/// Most emergencies that are listed in one room at once; a further one still gets the floor.
pub const EMERGENCIES_MAX: usize = 256;
/// A reader that takes nothing at all for this long is closed.
pub const STALLED_READER_MAX: Duration = Duration::from_secs(30);
/// How long the rest of a burst may be repaired on the socket after its end, before only a later upload remains.
pub const REPAIR_WAIT: Duration = Duration::from_secs(30);

/// Bytes queued for one socket before repair frames are dropped.
pub const QUEUE_REPAIR_BYTES_MAX: usize = 64 * 1024;
/// Bytes queued for one socket before live voice is dropped, oldest first: about 5 s at 24 kbit/s.
pub const QUEUE_VOICE_BYTES_MAX: usize = 32 * 1024;
/// Control bytes queued for one socket before events are left in the log, to be read from there when the queue drained.
pub const QUEUE_CONTROL_BYTES_MAX: usize = 256 * 1024;
/// A live voice frame that waited this long is stale: it is dropped, and fetched later.
pub const VOICE_STALE: Duration = Duration::from_millis(1_500);

/// Kinds of path that a client may ask for at once.
pub const PATH_KINDS_MAX: usize = 4;
/// Largest datagram of a voice path, in bytes of UDP payload: it fits every path that carries QUIC (RFC 9000 section 14).
pub const DATAGRAM_BYTES_MAX: usize = 1_200;
/// Datagrams a second that a client may send on its path for long; live voice is 50/s.
pub const DATAGRAMS_PER_S_MAX: u32 = 200;
/// How many of them it may send at once: what was recorded while the floor was asked for comes faster.
pub const DATAGRAMS_AT_ONCE_MAX: u32 = 400;
/// WebTransport connections of one address, or of one /64 network of IPv6, that have shown no secret yet.
pub const UNPROVEN_PER_ADDRESS_MAX: usize = 16;
/// Earlier frames that a datagram repeats at most.
pub const DATAGRAM_COPIES_MAX: usize = 3;
