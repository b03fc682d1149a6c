//! What a person sets on this device, and the line in which a host keeps it.

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
}

impl Default for Settings {
    fn default() -> Self {
        let (echo, noise, tones) = (true, true, true);
        let (look, microphone, language) = (Look::System, None, None);
        Self { look, contrast: false, still: false, key: "Space".to_owned(), microphone, echo, noise, tones, language }
    }
}

/// Longest name of a key or a microphone that is kept, bytes.
const WORD_BYTES_MAX: usize = 256;

impl Settings {
    /// As one line, for a host to keep.
    pub fn line(&self) -> String {
        let Self { look, contrast, still, key, microphone, echo, noise, tones, language } = self;
        let language = language.map(Language::tag).unwrap_or_default();
        let microphone = microphone.as_deref().unwrap_or_default();
        format!(
            "look={} contrast={contrast} still={still} echo={echo} noise={noise} tones={tones} language={language} key={key} \
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
                "language" => settings.language = Language::of(value),
                "key" => settings.key = word().unwrap_or(settings.key),
                "microphone" => settings.microphone = word(),
                _ => {}
            }
        }
        settings
    }

    /// What is said of the key: its place without the prefix that keyboards give it.
    pub fn key_words(&self) -> String {
        match self.key.as_str() {
            "Space" => t!("key-space"),
            key => key.strip_prefix("Key").or_else(|| key.strip_prefix("Digit")).unwrap_or(key).to_owned(),
        }
    }
}
