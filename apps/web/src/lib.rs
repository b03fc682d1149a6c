//! Holler in a browser: puts the screens of `holler-ui` onto the page and the engine of `holler-client-web` into its worker.
//!
//! Both are one WebAssembly module with two entrances, `page` and `worker`: it is fetched and compiled once, and page and
//! worker can't be of different versions.
#![cfg(target_arch = "wasm32")]

mod awake;
mod keep;
mod keys;
mod media;
mod server;
mod shell;
mod told;
mod words;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use awake::Awake;
use dioxus_web::Config;
use futures_channel::mpsc::unbounded;
use holler_client_web::message::{ToPage, ToWorker, Trial};
use holler_client_web::page::{Choice, Engine, Sound, Tone};
use holler_client_web::worker::Paths;
use holler_core::engine::{Command, LinkState, Notice};
use holler_core::model::{EventBody, Priority, UserRole};
use holler_core::units::{Bitrate, BurstId, FrameMs};
use holler_core::wire::rest::{InviteRoom, NewInvite};
use holler_ui::port::{self, Ask, Entry, Host, Told};
use holler_ui::state::Settings;
use server::Server;
use shell::Shell;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::{Closure, wasm_bindgen};
use words::Words;

/// The encoder's target: clear speech, and 60 packets of it fit a second of the weakest link.
const BITRATE: Bitrate = Bitrate(24_000);

/// Runs the page. `base` is the folder that everything else is in, `shell` what the page has of the browser around it, `worker`
/// the worker, which has this module.
#[wasm_bindgen]
pub fn page(base: &str, shell: Shell, worker: web_sys::Worker) -> Result<(), JsValue> {
    let shell = Rc::new(shell);
    let (tell, inbox) = unbounded();
    let send = move |told: Told| {
        // The receiver lives as long as the page.
        let _ = tell.unbounded_send(told);
    };
    if let Some(entry) = entry() {
        send(Told::Opened(entry));
    }
    // Where nobody was signed in the form need not wait for the worker to find nobody.
    let fresh = !keep::was_signed_in();
    if fresh {
        send(Told::SignedOut { reason: None });
    }
    shell_tells(&shell, send.clone());
    // Of one person's tabs one sounds.
    let leading = Rc::new(Cell::new(false));
    // What was spoken last, until all of it is on the disk or at the server.
    let spoken: Rc<Cell<Option<BurstId>>> = Rc::default();
    let trial_sound: Rc<RefCell<Option<Rc<Sound>>>> = Rc::default();
    let awake = Awake::new();
    let engine = Engine::start(worker, {
        let send = send.clone();
        let look = Server::new(base, send.clone());
        let sound = Rc::clone(&trial_sound);
        let (shell, awake) = (Rc::clone(&shell), Rc::clone(&awake));
        let (begun, leading, spoken) = (Cell::new(false), Rc::clone(&leading), Rc::clone(&spoken));
        move |message| {
            if let ToPage::Leading(leads) = message {
                leading.set(leads);
            }
            let mut is_known = false;
            let signed_in = matches!(message, ToPage::SignedIn { .. });
            if signed_in || matches!(message, ToPage::SignedOut { .. }) {
                awake.signed_in(signed_in);
                let gone = keep::note_signed_in(signed_in);
                if gone && !begun.get() {
                    return send(Told::Evicted);
                }
                let first = !begun.replace(true);
                is_known = fresh && first && matches!(message, ToPage::SignedOut { reason: None, waits: 0 });
            }
            look.heard(&message);
            if spoken.get().is_some_and(|burst| told::is_safe(&message, burst)) {
                spoken.set(None);
                shell.speaking(false);
            }
            if let ToPage::Push { number, answer } = &message {
                shell.answered(*number, answer.clone().ok());
            } else if matches!(message, ToPage::Notice(Notice::Link(LinkState::Up { .. }))) {
                shell.connected();
            }
            if matches!(message, ToPage::Trying(Trial::Playing | Trial::Over))
                && let Some(sound) = sound.borrow().as_ref()
            {
                sound.release();
            }
            if let Some(told) = told::told(message).filter(|_| !is_known) {
                send(told);
            }
        }
    });
    shell_asks(&shell, &engine);
    let sound = Sound::new(
        Rc::clone(&engine),
        base,
        {
            let send = send.clone();
            move |microphone| {
                send(Told::Microphone(told::microphone(microphone)));
                tell_microphones(send.clone());
            }
        },
        {
            let (send, engine) = (send.clone(), Rc::clone(&engine));
            move |audible| {
                engine.tell(&ToWorker::Aloud(audible));
                send(Told::Audible(audible));
            }
        },
    );
    *trial_sound.borrow_mut() = Some(Rc::clone(&sound));
    let settings = keep::settings();
    let key = Rc::new(RefCell::new(String::new()));
    go_by(&settings, &sound, &engine, &awake, &key);
    let words = Words::new(base, send.clone());
    let language = settings.language;
    send(Told::Settings(settings));
    keys::listen(&sound, &engine, &key, send.clone())?;
    media::listen(send.clone());
    let plugged = send.clone();
    Sound::on_devices(move || tell_microphones(plugged.clone()));
    sound.wake();
    let to_speak = Rc::clone(&words);
    #[expect(clippy::wildcard_enum_match_arm, reason = "`perform` names all the others")]
    let ask = move |ask| match ask {
        Ask::Set(settings) => {
            keep::keep(&settings);
            shell.language(settings.language.unwrap_or_default().tag());
            go_by(&settings, &sound, &engine, &awake, &key);
            let words = Rc::clone(&to_speak);
            wasm_bindgen_futures::spawn_local(async move { words.speak(settings.language).await });
        }
        Ask::Devices => {
            engine.tell(&ToWorker::Devices);
            tell_microphones(send.clone());
        }
        Ask::Reload => shell.reload(),
        Ask::Telling(on) => shell.telling(on),
        Ask::Tone(_) if !leading.get() => sound.wake(),
        ask => {
            match &ask {
                Ask::KeyDown { .. } => {
                    spoken.set(Some(BurstId::from_bytes(random())));
                    shell.speaking(true);
                }
                Ask::KeyUp => shell.released(),
                Ask::Open(room) => shell.opened(&room.to_string()),
                Ask::SignOut => shell.forget(),
                _ => {}
            }
            perform(&engine, &sound, ask, spoken.get());
        }
    };
    let host = Host::new(ask, js_sys::Date::now, clock, random);
    wasm_bindgen_futures::spawn_local(async move {
        // The first screen speaks the right language at once.
        words.speak(language).await;
        dioxus_web::launch::launch_virtual_dom(holler_ui::dom(host, inbox), Config::new().rootname("main"));
    });
    Ok(())
}

/// Passes on what the shell tells, for as long as the page lives.
fn shell_tells(shell: &Shell, send: impl Fn(Told) + 'static) {
    let tell = Closure::new(move |what: String, room: Option<String>| {
        if what == "waiting" {
            send(Told::Outdated);
        } else if what == "telling" {
            send(Told::Telling(shell::telling(room.as_deref().unwrap_or_default())));
        } else if let Some(Ok(room)) = room.map(|room| room.parse()) {
            send(Told::Show(room));
        }
    });
    shell.listen(&tell);
    tell.forget();
}

/// Lets the shell ask the server about notifications, through the worker, which has the token.
fn shell_asks(shell: &Shell, engine: &Rc<Engine>) {
    let engine = Rc::clone(engine);
    let ask = Closure::new(move |number: u32, method: String, path: String, body: String| {
        engine.tell(&ToWorker::Push { number, method, path, body });
    });
    shell.attach(&ask);
    ask.forget();
}

/// Runs the worker. `paths` is how it opens voice paths.
#[wasm_bindgen]
pub fn worker(paths: Paths) {
    holler_client_web::worker::run(paths);
}

/// Goes by what is set.
fn go_by(settings: &Settings, sound: &Sound, engine: &Engine, awake: &Rc<Awake>, key: &RefCell<String>) {
    keep::look(settings);
    awake.set(settings.awake);
    let rooms = settings.room_volumes.clone().into_iter().collect();
    let people = settings.people_volumes.clone().into_iter().collect();
    engine.tell(&ToWorker::Volumes { rooms, people });
    settings.key.clone_into(&mut key.borrow_mut());
    let Settings { microphone, echo, noise, ready, .. } = settings;
    sound.choose(&Choice { microphone: microphone.clone(), echo: *echo, noise: *noise, ready: *ready });
}

fn tell_microphones(send: impl Fn(Told) + 'static) {
    wasm_bindgen_futures::spawn_local(async move {
        // A browser that names none leaves the choice to the system.
        if let Ok(microphones) = Sound::microphones().await {
            send(Told::Microphones(microphones));
        }
    });
}

/// Does what the screens ask for. `burst`: what a press that begins is called.
fn perform(engine: &Engine, sound: &Rc<Sound>, ask: Ask, burst: Option<BurstId>) {
    let command = match ask {
        Ask::SignIn { login, password } => {
            sound.wake();
            return engine.tell(&ToWorker::SignIn { login, password, device_name: device_name() });
        }
        Ask::LookInvite { token } => return engine.tell(&ToWorker::LookInvite { token }),
        Ask::Join { token, login, name, password } => {
            sound.wake();
            return engine.tell(&ToWorker::Join { token, login, name, password, device_name: device_name() });
        }
        Ask::Reset { token, password } => {
            sound.wake();
            return engine.tell(&ToWorker::Reset { token, password, device_name: device_name() });
        }
        Ask::LeaveLink => return leave_link(),
        Ask::Earlier { room, before } => return engine.tell(&ToWorker::Earlier { room, before }),
        Ask::Revoke(device) => return engine.tell(&ToWorker::Revoke(device)),
        Ask::Export => return engine.tell(&ToWorker::Export),
        // Done before it comes here.
        Ask::Set(_) | Ask::Devices | Ask::Reload | Ask::Telling(_) => return,
        Ask::SignOut => {
            sound.close();
            return engine.tell(&ToWorker::SignOut);
        }
        Ask::Connect => return engine.tell(&ToWorker::Connect),
        Ask::Waiting(waiting) => {
            sound.wake();
            return engine.tell(&ToWorker::Waiting(told::waiting(waiting)));
        }
        Ask::TryMicrophone => {
            sound.press();
            return engine.tell(&ToWorker::TryMicrophone);
        }
        Ask::Watch(on) => return engine.tell(&ToWorker::Watch(on)),
        Ask::Hear(hearing) => Command::SetHearing { hearing },
        Ask::Mute { room, muted } => Command::Mute { room, muted },
        Ask::Microphone => {
            sound.press();
            return sound.release();
        }
        Ask::Replay { room, burst, frame_ms, from_ms, speed } => {
            sound.wake();
            return engine.tell(&ToWorker::Replay { room, burst, frame_ms, from_ms, speed });
        }
        Ask::StopReplay => return engine.tell(&ToWorker::StopReplay),
        Ask::Direct(user) => return engine.tell(&ToWorker::Direct(user)),
        Ask::Invite { room, role, uses, days } => {
            let rooms = vec![InviteRoom { room, role }];
            let (role, expires_in_s) = (UserRole::Member, days.saturating_mul(86_400));
            return engine.tell(&ToWorker::Invite(NewInvite { rooms, role, expires_in_s, uses_max: uses, note: None }));
        }
        Ask::Copy(text) => {
            if let Some(window) = web_sys::window() {
                // Where a browser refuses, the words stand in a field to be copied by hand.
                let _ = window.navigator().clipboard().write_text(&text);
            }
            return;
        }
        Ask::Tone(tone) => {
            sound.wake();
            return sound.tone(match tone {
                port::Tone::Grant => Tone::Grant,
                port::Tone::Release => Tone::Release,
                port::Tone::Denied => Tone::Denied,
                port::Tone::Warning => Tone::Warning,
                port::Tone::Busy => Tone::Busy,
                port::Tone::Missed => Tone::Missed,
                port::Tone::Alarm => Tone::Alarm,
            });
        }
        Ask::Ready => return sound.get_ready(),
        Ask::Open(room) => {
            sound.get_ready();
            engine.tell(&ToWorker::Command(Command::WatchPresence { room }));
            Command::SetPrimary { room: Some(room) }
        }
        Ask::Close(room) => {
            engine.tell(&ToWorker::Command(Command::UnwatchPresence { room }));
            Command::SetPrimary { room: None }
        }
        Ask::Used => Command::Used,
        Ask::Read { room, cursor } => Command::Read { room, cursor },
        Ask::Presence(state) => Command::SetPresence { state },
        Ask::KeyDown { room, emergency } => {
            sound.press();
            Command::KeyDown {
                room,
                burst: burst.unwrap_or_else(|| BurstId::from_bytes(random())),
                priority: if emergency { Priority::Emergency } else { Priority::Normal },
                queue: true,
                when_free: false,
                frame_ms: FrameMs::Ms20,
                bitrate: BITRATE,
            }
        }
        Ask::KeyUp => {
            sound.release();
            Command::KeyUp
        }
        Ask::Send { room, client_id, text, reply_to } => {
            Command::Send { room, client_id, body: EventBody::MessagePosted { text, reply_to } }
        }
        Ask::Change { room, client_id, target, text } => {
            let body = match text {
                Some(text) => EventBody::MessageEdited { target, text },
                None => EventBody::MessageDeleted { target },
            };
            Command::Send { room, client_id, body }
        }
        Ask::ClearEmergency { room, raised_by } => Command::ClearEmergency { room, raised_by },
    };
    engine.tell(&ToWorker::Command(command));
}

/// The link that led here. What is secret in it stands behind `#`, which browsers send to nobody.
fn entry() -> Option<Entry> {
    let location = web_sys::window()?.location();
    let token = location.hash().ok()?.strip_prefix('#')?.to_owned();
    match location.pathname().ok()?.as_str() {
        "/invite" => Some(Entry::Invite { token }),
        "/reset" => Some(Entry::Reset { token }),
        _ => None,
    }
}

/// The link is done with: the address, and with it the history, no longer has it.
fn leave_link() {
    let Some(Ok(history)) = web_sys::window().map(|window| window.history()) else { return };
    // A page that may not change its address keeps a link that is good no more.
    let _ = history.replace_state_with_url(&JsValue::NULL, "", Some("/"));
}

/// Hours and minutes, as this browser's person reads them.
fn clock(unix_ms: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "exact until the year 287396")]
    let date = js_sys::Date::new(&JsValue::from(unix_ms as f64));
    let options = js_sys::Object::new();
    for part in ["hour", "minute"] {
        // A plain object takes any field.
        let _ = js_sys::Reflect::set(&options, &part.into(), &"2-digit".into());
    }
    date.to_locale_time_string_with_options(&words::tag(), &options).into()
}

fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    // Browsers refuse more than 65,536 bytes at once, and nothing else.
    if let Some(Ok(crypto)) = web_sys::window().map(|window| window.crypto()) {
        let _ = crypto.get_random_values_with_u8_array(&mut bytes);
    }
    bytes
}

/// What to call this browser in the list of devices: its kind and its system, and nothing that tells more.
fn device_name() -> String {
    let agent = web_sys::window().and_then(|window| window.navigator().user_agent().ok()).unwrap_or_default();
    let first = |names: &[(&'static str, &'static str)]| {
        names.iter().find(|(mark, _)| agent.contains(mark)).map_or("browser", |(_, name)| name)
    };
    let browser = first(&[("Firefox/", "Firefox"), ("Edg/", "Edge"), ("Chrome/", "Chromium"), ("Safari/", "Safari")]);
    let system = first(&[
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("Linux", "Linux"),
    ]);
    format!("{browser} on {system}")
}
