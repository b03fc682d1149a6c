//! What a person sets on this device, and the line in which a host keeps it.

use holler_core::model::PresenceState;
use holler_core::sorted;
use holler_core::units::{RoomId, UserId};

use crate::t;
use crate::words::Language;

/// How the screens look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Look {
    /// As the system does.
    #[default]
    System,
    /// Dark on light: for the sun.
    Light,
    /// Light on dark: for the night.
    Dark,
}

impl Look {
    /// Every look, with the word that stands for it.
    pub const ALL: [(Self, &'static str); 3] = [(Self::System, "system"), (Self::Light, "light"), (Self::Dark, "dark")];

    /// The word that stands for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// What a person sets on this device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How the screens look.
    pub look: Look,
    /// Stronger contrast than the system asks for.
    pub contrast: bool,
    /// Nothing moves.
    pub still: bool,
    /// The key that talks, as keyboards name its place (UI Events `code`).
    pub key: String,
    /// Which microphone, by the host's name for it; `None`: the system's.
    pub microphone: Option<String>,
    /// The loudspeaker's sound is taken out of the microphone's.
    pub echo: bool,
    /// Steady noise is taken out.
    pub noise: bool,
    /// Tones are sounded.
    pub tones: bool,
    /// The language; `None`: the system's, or the browser's.
    pub language: Option<Language>,
    /// Rooms that are silent, but for emergencies.
    pub muted: sorted::Set<RoomId>,
    /// How loud rooms are, percent; 100 where nothing is said.
    pub room_volumes: sorted::Map<RoomId, u8>,
    /// How loud people are, percent; 100 where nothing is said.
    pub people_volumes: sorted::Map<UserId, u8>,
    /// The screen stays on while this client listens.
    pub awake: bool,
    /// The microphone is opened ahead of a press while a room is open.
    pub ready: bool,
    /// Whether rooms were silenced for as long as the person says: busy or solo, else available.
    pub silence: Option<PresenceState>,
}

/// Loudest, percent.
pub const VOLUME_MAX: u8 = 150;
/// Rooms and people that have settings of their own, each; those beyond are not kept.
const OWN_MAX: usize = 256;

impl Default for Settings {
    fn default() -> Self {
        let (echo, noise, tones) = (true, true, true);
        let (look, microphone, language, awake) = (Look::System, None, None, true);
        let (muted, room_volumes, people_volumes) = (sorted::Set::new(), sorted::Map::new(), sorted::Map::new());
        Self {
            look,
            contrast: false,
            still: false,
            key: "Space".to_owned(),
            microphone,
            echo,
            noise,
            tones,
            language,
            muted,
            room_volumes,
            people_volumes,
            awake,
            ready: true,
            silence: None,
        }
    }
}

/// Longest name of a key or a microphone that is kept, bytes.
const WORD_BYTES_MAX: usize = 256;

impl Settings {
    /// As one line, for a host to keep.
    pub fn line(&self) -> String {
        let Self { look, contrast, still, key, microphone, echo, noise, tones, language, awake, ready, .. } = self;
        let silence = self.silence.map(PresenceState::as_str).unwrap_or_default();
        let muted: Vec<String> = self.muted.iter().take(OWN_MAX).map(RoomId::to_string).collect();
        let muted = muted.join(",");
        let (rooms, people) = (volumes(&self.room_volumes), volumes(&self.people_volumes));
        let language = language.map(Language::tag).unwrap_or_default();
        let microphone = microphone.as_deref().unwrap_or_default();
        format!(
            "look={} contrast={contrast} still={still} echo={echo} noise={noise} tones={tones} language={language} awake={awake} ready={ready} silence={silence} \
             muted={muted} rooms={rooms} people={people} key={key} \
             microphone={microphone}",
            look.word()
        )
    }

    /// From such a line. What is missing or can't be read is as if it was never set.
    pub fn of(line: &str) -> Self {
        let mut settings = Self::default();
        for (name, value) in line.split(' ').filter_map(|part| part.split_once('=')) {
            let flag = |default: bool| value.parse().unwrap_or(default);
            let word = || Some(value.to_owned()).filter(|word| !word.is_empty() && word.len() <= WORD_BYTES_MAX);
            match name {
                "look" => {
                    let look = Look::ALL.into_iter().find(|(_, word)| *word == value);
                    settings.look = look.map_or_else(Look::default, |(look, _)| look);
                }
                "contrast" => settings.contrast = flag(false),
                "still" => settings.still = flag(false),
                "echo" => settings.echo = flag(true),
                "noise" => settings.noise = flag(true),
                "tones" => settings.tones = flag(true),
                "awake" => settings.awake = flag(true),
                "ready" => settings.ready = flag(true),
                "silence" => settings.silence = value.parse().ok().filter(|state| is_silence(*state)),
                "muted" => settings.muted = value.split(',').filter_map(|id| id.parse().ok()).take(OWN_MAX).collect(),
                "rooms" => settings.room_volumes = of_volumes(value),
                "people" => settings.people_volumes = of_volumes(value),
                "language" => settings.language = Language::of(value),
                "key" => settings.key = word().unwrap_or(settings.key),
                "microphone" => settings.microphone = word(),
                _ => {}
            }
        }
        settings
    }

    /// Sets how loud a room is.
    pub fn set_room_volume(&mut self, room: RoomId, percent: u8) {
        set_volume(&mut self.room_volumes, room, percent);
    }

    /// Sets how loud somebody is.
    pub fn set_volume_of(&mut self, user: UserId, percent: u8) {
        set_volume(&mut self.people_volumes, user, percent);
    }

    /// What is said of the key: its place without the prefix that keyboards give it.
    pub fn key_words(&self) -> String {
        match self.key.as_str() {
            "Space" => t!("key-space"),
            key => key.strip_prefix("Key").or_else(|| key.strip_prefix("Digit")).unwrap_or(key).to_owned(),
        }
    }
}

/// Whether whoever says so wants silence.
pub(super) fn is_silence(state: PresenceState) -> bool {
    matches!(state, PresenceState::Busy | PresenceState::Solo)
}

fn set_volume<T: Ord>(volumes: &mut sorted::Map<T, u8>, of: T, percent: u8) {
    if percent == 100 {
        volumes.remove(&of);
    } else if volumes.len() < OWN_MAX || volumes.contains_key(&of) {
        volumes.insert(of, percent.min(VOLUME_MAX));
    }
}

fn volumes<T: ToString>(volumes: &sorted::Map<T, u8>) -> String {
    let each: Vec<String> = volumes.iter().map(|(of, percent)| format!("{}:{percent}", of.to_string())).collect();
    each.join(",")
}

fn of_volumes<T: Ord + core::str::FromStr>(value: &str) -> sorted::Map<T, u8> {
    let each = value.split(',').filter_map(|part| part.split_once(':'));
    let each = each.filter_map(|(of, percent)| Some((of.parse().ok()?, percent.parse::<u8>().ok()?.min(VOLUME_MAX))));
    each.take(OWN_MAX).collect()
}
