# Holler's words in English. Every other language says the same keys with the same arguments.
#
# The form is a part of Fluent (projectfluent.org): a message is one line, or one choice by one argument whose cases are
# one line each. `apps/ui/src/words` says what is read, and its tests compare it with Fluent itself.

## The product
slogan = Hold a button, speak, and everyone in the room hears it.
starting = Starting Holler …
back = Back
close = Put away

## Signing in
sign-in = Sign in
sign-in-busy = Signing in …
sign-in-name = Sign-in name
sign-in-empty = Enter your sign-in name and your password.
sign-in-help = No account? Ask whoever runs this server for an invite: its link leads to a form like this. Forgot the password? They can send you a link for a new one. You stay signed in on this browser until you sign out.
password = Password
password-new = New password
password-hint = At least 10 characters, unless this server asks for more. A few words are good.
password-show = Show it

## A link that led here
invite-title = You are invited
invite-join = Join { $workspace }
invite-refused = This invite can’t be used: { $reason }
invite-refused-hint = An invite ends after a while, after so many people, or when it is taken back. Ask whoever sent it for a new one.
invite-looking = Looking at the invite …
invite-rooms = You will be in:
invite-name = Your name
invite-name-empty = Enter your name, as others are to see it.
invite-login-hint = You sign in with it on other devices.
invite-login-wrong = A sign-in name is made of a-z, 0-9, dot, dash and underscore, and begins with a letter or a digit.
invite-password-empty = Choose a password.
invite-replaces = You are signed in here as { $login }. Joining makes a new account and signs that one out of this browser.
invite-submit = Join
invite-busy = Joining …
reset-title = Set a new password
reset-hint = This link works once. It signs you out everywhere else, and in here.
reset-submit = Set the password
reset-busy = Setting it …
entry-go-on = Go on as { $login }
entry-sign-in = I have an account: sign in

## The connection
link-new = Connecting …
link-up = Connected
link-up-in = Connected · { $ms } ms
link-trying = Connecting again …
link-down = Offline: { $reason }. Next try in { $seconds } s.
link-ended = Not connected
link-ended-why = There is no connection, and none will be tried: { $reason }.
link-elsewhere = Holler is open in another tab or window of this browser, which has the connection.
link-use-here = Use it here
plays-on = Plays on { $name }
plays-elsewhere = Plays on another of your devices
plays-here = Play here
link-connect = Connect

## Rooms
rooms = Rooms
rooms-none = You are in no room yet. Ask an admin to add you to one: you are { $login } to them. It then shows here by itself.
rooms-fetching = Fetching your rooms …
rooms-choose = Choose a room to hear it first and to talk in it.
rooms-hear-all = You hear all your rooms; where two talk at once, the one you look at plays.
rooms-back = Back to the rooms
room-refused = This room can’t be followed: { $reason }
room-gone = This room is no longer there for you: it was removed, or you were taken out of it. What you see of it stays until you leave. An admin can tell you more.
room-new = { $count } new
room-here = { $here } of { $all } here
room-people =
    { $count ->
        [one] { $count } person
       *[other] { $count } people
    }

## The microphone
microphone-ready = The microphone is ready.
microphone-why = To talk, this page needs the microphone. It stays open for a while after you talked, so that the next word is not clipped; the settings say how long. Nothing is sent unless you press the button.
microphone-asking = Choose “Allow” above
microphone-allow = Allow the microphone now
no-microphone-refused = The browser does not let this page use the microphone. Allow it in the browser’s settings for this page (the symbol beside the address), then press again.
no-microphone-there = There is no microphone. Connect one, then press again.
no-microphone-starts = The microphone does not start: another program may hold it. Close that, then press again.
no-microphone-lost = The microphone was unplugged or taken away. Plug it in, then press again.
no-microphone-late = The microphone did not start within 20 s. Press again.
no-microphone-early = The button came up before the microphone was there: hold it a little longer.
no-microphone-elsewhere = You are talking in another tab of this browser: one talks at a time.
tab-unkept = What you said in another tab of this browser is not on the disk: talk there until it is delivered, or make room.
tab-outdated = A newer version of Holler is open in another tab of this browser: reload this tab.
no-microphone = Nothing can be recorded ({ $detail }). Reload the page, then press again.

## The talk button
talk = Talk
talk-wait = Wait …
talk-allow = Allow the microphone, so that others can hear you.
talk-starting = Starting the microphone
talk-asking = Asking to talk
talk-emergency = Emergency: speak
talk-emergency-hint = Your microphone is open, and everyone in the room sees the emergency. Tap the button to end it.
talk-queued = In line: { $position } of { $waiting }
talk-queued-hint = Keep holding: it is your turn when this turns red.
talk-now = Speak now
talk-now-held = Everyone in the room hears you. Let go when done.
talk-now-latched = Everyone in the room hears you. Tap again when done.
talk-offline = Offline
talk-offline-held = It is recorded, and delivered by itself when the connection is back.
talk-offline-hint = What you say is recorded, and delivered when the connection is back.
talk-offline-said = Offline: it is recorded
talk-denied = Not now
talk-failed = That did not work
talk-recorded = Recorded
talk-recorded-hint = It is kept here, and delivered by itself when the connection is back.
talk-recorded-said = Recorded: it is delivered when the connection is back
talk-put-off = Tried again by itself: { $reason }
talk-kept = Not delivered
talk-kept-hint = It stays on this device; what waits here can be played, sent or dropped.
talk-hold = Hold to talk
talk-tap = Tap to talk
talk-ending = Sending …
talk-ending-hint = The last of it is on its way.
talk-listen = Listening only
talk-listen-hint = You may listen in this room. An admin of the room can let you talk.
talk-other = { $name } is talking
talk-other-hint = Hold to get in line.
talk-other-emergency = Emergency: { $name } is talking
talk-other-emergency-hint = Listen. A dispatcher can talk at once, others get in line.
talk-own = You are talking
talk-own-elsewhere = You are talking, on another device
talk-no-microphone = No microphone
talk-reached = { $reach }.
talk-delivered = Delivered: the server has every word.
talk-delivered-said = Delivered
talk-tap-hint = Tap again to end.
talk-key-hint = Or hold { $key }.
talk-latch = Hands-free
talk-seconds = { $seconds } s
key-space = the space bar
denied-busy = Somebody else is talking. Press again when they are done.
denied-queue-full = Too many are waiting to talk here. Press again in a while.
denied-queue-expired = Your turn did not come in time. Press again.
denied-not-allowed = You may listen in this room, but not talk. An admin of the room can change that.
denied-unavailable = The server is restarting. Press again in a moment.
revoked-preempted = Somebody with priority took over. What you said until then is delivered.
revoked-limit = The talk limit is reached. Let go, and press again to go on.
revoked-link = The connection was lost for too long. What you said is delivered when it is back.
revoked-not-allowed = You may no longer talk in this room. An admin of the room can change that.
revoked-unavailable = The server is restarting. What you said is delivered when it is back.

## Emergencies
emergency = Emergency
emergency-label = Emergency: hold for two seconds
emergency-holding = Keep holding: { $seconds }
emergency-own = Your emergency is on, in { $room }. Everyone there sees it.
emergency-other = Emergency: { $name }, in { $room }
emergency-known = Emergency of { $name }, in { $room }
emergency-see = I see it
emergency-clear = Clear it
emergency-clear-later = Not connected: it can be cleared once you are.

## What was said and written
timeline = What was said and written
timeline-empty = Nothing was said here yet. Hold the button and say hello: you see here who heard it.
timeline-earlier = Show earlier
timeline-fetching = Fetching what came before …
timeline-full = These are the latest 50,000 entries. Older ones stay on the server.
timeline-no-match = Nothing of what is here matches.
timeline-gap = What was before this is no longer kept.
search = Search
search-label = Search this room
search-more = The latest { $count } that match. Write more to find less.
search-earlier = Search further back
play-missed = Play missed ({ $count })
play-last = Replay last
play-burst = Play what { $name } said at { $time }
play-stop = Stop
play-position = Position
play-position-of = { $at } of { $whole }
play-speed = Speed: { $speed }
you = You
somebody = Somebody
text-refused = Not sent: { $reason }
text-waiting = Waiting to be sent
text-put-off = Not sent yet, tried again by itself: { $reason }
text-edited = Changed
text-deleted = Taken back
text-changing = The change waits to be sent
text-change-refused = Not changed: { $reason }
text-reply = Reply
text-edit = Change
text-delete = Take back
text-delete-sure = Take it back for everyone
text-actions = Reply to what { $name } wrote at { $time }, or change it
quote = { $name }: { $text }
quote-earlier = An answer to something earlier
compose-reply = You answer { $quote }
compose-edit = You change what you wrote
compose-leave = Write something new instead
burst-live = Talking now
burst-interrupted = { $length } so far; the link broke
burst-missed = { $length }, missed
burst-heard = { $length }, heard
burst-arriving = { $length }, the last of it is arriving
burst-waiting = Waits to be delivered
burst-kept = Not delivered; it stays on this device
burst-reached = { $state } · { $reach }
burst-emergency = Emergency · { $state }
length-unknown = Length unknown
length = { $seconds } s
event-at = { $time }: { $what }
event-emergency-own = your emergency
event-emergency = emergency by { $name }
event-cleared-own = your emergency was cleared
event-cleared = the emergency of { $name } was cleared
event-joined = { $name } joined the room
event-left = { $name } left the room
event-away = While you were away: { $what }
event-role-listener = you may now only listen here
event-role-talker = you may now talk and write here
event-role-dispatcher = you are now a dispatcher here
event-role-admin = you are now an admin here
message = Message
message-hint = Write a message
message-send = Send
reach-nobody = Nobody else is in this room
reach-delivered = Delivered to { $count } of { $of }
heard = Heard
heard-all = Heard by all { $of }
heard-some = Heard by { $count } of { $of }
read = Read
read-all = Read by all { $of }
read-some = Read by { $count } of { $of }

## People
people = People in this room
people-offline = No connection: what is known of people runs out.
people-counted = So many people are counted, not listed.
people-search = Find somebody
people-none-found = Nobody whom you share a room with is called so.
people-alone = You are alone here. An admin of the room can add people.
people-alone-invite = You are alone here. Invite people: they join by a link or a code.
person-direct = Talk with { $name } alone
invite-people = Invite people
invite-uses = For how many
invite-days = Good for
invite-make = Make the invite
invite-making = Making it …
invite-not-made = There is no invite: { $reason }
invite-made-hint = Whoever has the link can join this room. It is shown only now: send it, or let a phone’s camera see the code.
invite-code = The link as a code for a camera
invite-link = Link
invite-copy = Copy the link
invite-copied = Copied
days =
    { $count ->
        [one] { $count } day
       *[other] { $count } days
    }
people-asking = Asking who is here …
person-you = { $name } (you)
presence-own = What others see of you
presence-available = Available
presence-busy = Busy
presence-solo = Listens to one room
presence-away = Away
presence-offline = Offline
presence-offline-since = Offline, left { $ago }
presence-unknown = Not known
presence-unknown-since = Not known; last heard of { $ago }
presence-unknown-ever = Not known; never heard of
ago-now = less than a minute ago
ago-minutes = { $count } min ago
ago-hours = { $count } h ago
ago-days =
    { $count ->
        [one] { $count } day ago
       *[other] { $count } days ago
    }

## Settings
settings = Settings
set-sound = Sound
set-microphone = Microphone
set-microphone-system = The system’s choice
set-microphone-hint = Names show once the microphone was allowed.
set-echo = Take out echo
set-echo-hint = Off where you wear headphones and want it plain.
set-noise = Take out noise
set-noise-hint = Wind, engines, fans.
set-tones = Tones
set-tones-hint = An alarm sounds in any case.
set-ready = Keep the microphone ready
set-ready-hint = It is opened when you enter a room, so that your first word goes out at once, and let go ten minutes after you last talked. Your browser shows that it is open. Nothing is recorded or sent until you press the button.
set-awake = Keep the screen on
set-awake-hint = While you are signed in here and look at this page.
set-telling = Notifications
set-telling-hint = Of what you miss while no page of Holler is open, or while a phone silences one that is out of sight.
set-telling-refused = The browser does not allow them for this page: change that in its settings for this site.
telling-ask = Be told of what you miss while Holler is closed?
telling-yes = Turn on notifications
telling-no = Not now
set-key = Key that talks
set-key-press = Press the key …
set-key-is = It is { $key }: change it
set-look = Appearance
set-colours = Colours
set-look-system = As the system
set-look-light = Light
set-look-dark = Dark
set-contrast = High contrast
set-still = Nothing moves
set-language = Language
set-language-browser = As the browser
set-devices = Where you are signed in
set-device-this = This one
set-device-used = Used { $ago }
set-device-out = Sign out { $name }
set-sign-out = Sign out
set-devices-fetching = Fetching the list …
set-sign-out-here = Sign out here
set-data = Your data
set-data-hint = Everything that this server keeps of you, as lines of JSON.
set-data-save = Save a copy

## Faults
sound-off = Sound is off until you touch this page: browsers want it so.
sound-stopped = This browser stopped the sound while the page was in the background: what came meanwhile is missed, not lost. Touch the page to hear again.
sound-on = Turn sound on
fault = Something went wrong: { $detail }
fault-keep = This device could not keep something: { $detail }
fault-too-many = Too many messages wait to be sent: this one was not taken. Send it later.
fault-cut = The microphone stopped in the middle: { $why } What you said until then is delivered.
fault-damaged = Damaged records of what was said or written here: { $count }. They are set aside, and what is in them is not sent. Everything else is there.
outdated = The server has a newer version of this page. Reload it when nobody is talking.
reload = Reload
clock-off =
    { $count ->
        [one] This device’s clock is { $count } minute off. Ages and times shown here may be wrong; what is said keeps its order.
       *[other] This device’s clock is { $count } minutes off. Ages and times shown here may be wrong; what is said keeps its order.
    }

## Listening
room-mute = Silence { $room }
room-muted = Silent, but for emergencies
room-heard = Heard
room-volume = Volume of this room
person-volume = Volume of { $name }
percent = { $percent } %
own-busy = Do not disturb
own-solo = Solo: this room
trial = Hear yourself
trial-recording = Recording …
trial-playing = Playing …
trial-hint = Records four seconds and plays them as others would hear you. Nothing leaves this device.
trial-speak = Speak, then listen.
echo = Echo
echo-open = Talk in the echo room
echo-hint = Nobody else is in the echo room: what you say there goes to the server and comes back, as others would hear it.
echo-back = This is what others would hear: it came back from the server.

## How it goes
quality = Connection and sound
quality-connection = Connection
quality-link = Link
quality-route = Route
quality-route-socket = WebSocket over TLS
quality-route-datagrams = Datagrams (WebTransport)
quality-loss-there = Datagrams lost on the way to the server
quality-loss-here = Datagrams lost on the way here
quality-round-trip = Round trip
quality-codec = Codec
quality-none = Not measured yet
quality-nothing = Nothing yet.
quality-heard = Heard last
quality-mouth-to-ear = Mouth to ear, estimated
quality-stage-sender = Captured, encoded, sent, forwarded
quality-stage-network = Network to here
quality-stage-buffer = Jitter buffer
quality-stage-play = Decoding and loudspeaker
quality-jitter = Jitter: delay aimed at
quality-loss = Loss
quality-frames-came = Frames that came live
quality-frames-played = Frames played
quality-frames-concealed = Frames filled in or passed over
quality-bridges = Gaps bridged
quality-spoken = Spoken last
quality-stage-capture = Microphone and one frame
quality-stage-encode = Encoding
quality-stage-send = Waiting to be sent
quality-first-sent = Button to first frame sent
quality-captured = Sound captured
quality-skipped = Not captured in time
quality-silent = Nothing from the microphone in between
quality-frames-in = Frames to encode
quality-frames-out = Frames encoded
quality-frames-sent = Frames sent live
quality-frames-stale = Frames too old to send live
figure-ms = { $ms } ms
figure-share = { $share } %
figure-count = { $count }

## What the server says
problem-bad-credentials = The name or the password is wrong.
problem-unauthenticated = The sign-in has ended: sign in again.
problem-revoked = This device was signed out: sign in again.
problem-forbidden = { $detail }
problem-not-found = { $detail }
problem-conflict = { $detail }
problem-out-of-bounds = { $detail }
problem-rate-limited = That was too often in a short time. Wait a little, then try again.
problem-outcome-unknown = It is not known whether the server has it. It is sent again by itself.
problem-unavailable = { $detail }
problem-storage-full = The server has no room left and stores nothing new. Tell whoever runs it.
problem-read-only = The server can’t store anything at the moment. Tell whoever runs it.
problem-internal = Something is wrong in the server. Try again; if it stays so, tell whoever runs it.
problem-unreachable = The server does not answer: check the network, then try again.
problem-foreign = What answered is not the Holler server ({ $detail }): a proxy, or the page where a public network asks you to sign in, may be in the way.

## Why there is no connection
why-new = not connected yet
why-name = the server’s name has no address
why-unreachable = the server does not answer
why-certificate = the server’s certificate is not trusted
why-handshake = what answers is not a Holler server that takes this client
why-lost = the connection broke
why-silent = nothing came from the server for too long
why-revoked = this device was signed out; sign in again
why-draining = the server is restarting
why-overloaded = the server has too much to do at the moment
why-replaced = it is open elsewhere
why-token = the sign-in has ended; sign in again
why-too-often = the connection broke too often in a short time
why-stopped = disconnected
missing-rooms = The list of rooms did not come: { $why }
missing-past = The past of a room did not come: { $why }
missing-devices = The list of devices did not come: { $why }
missing-data = Your data did not come: { $why }
missing-burst = That burst did not come: { $why }
## What waits to be delivered
queue = Waiting to be delivered
queue-empty = Nothing waits: everything you said and wrote is delivered.
queue-about = It goes out by itself, in this order, as soon as there is a connection. What is held back waits for you.
queue-try = Try now
queue-show = Show it
queue-next =
    { $count ->
        [one] { $count } waits to be delivered, since { $since }. Next try in { $seconds } s.
       *[other] { $count } wait to be delivered, since { $since }. Next try in { $seconds } s.
    }
queue-since =
    { $count ->
        [one] { $count } waits to be delivered, since { $since }.
       *[other] { $count } wait to be delivered, since { $since }.
    }
queue-held =
    { $count ->
        [one] { $count } is held back: it is sent only if you say so.
       *[other] { $count } are held back: they are sent only if you say so.
    }
queue-piece = { $room } · { $since }
queue-piece-held = { $room } · { $since } · held back
queue-burst = Speech, { $seconds } s
queue-burst-cut = Speech, { $seconds } s; it ends where the browser was closed
queue-speaking = Speech that goes on
queue-play = Play
queue-send = Send now
queue-drop = Drop
queue-drop-sure = Drop it for good?

## How things are kept
storage-full = This browser has no room left for this page: what you say and write now is lost if this tab is closed before it is delivered. Free some space on this device; then everything is kept again by itself.
storage-missing = This browser keeps nothing for this page ({ $reason }): what you say and write is lost if this tab is closed before it is delivered, and you will have to sign in again. A private window does that; use a normal one.
storage-newer = A newer version of Holler is open in another tab and has the store: reload this tab. What you say here until then is lost if it is closed before it is delivered.
storage-evicted = This browser threw away what it kept for this page, and with it your sign-in and what was not delivered yet. Sign in again; where the browser asks whether this page may keep its data, allow it.
signed-out-waits = Not delivered yet: { $count }. It goes out when you sign in again in this browser.
