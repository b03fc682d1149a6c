//! A link that led here: an invite, or a new password.

use holler_core::wire::rest::InviteOffer;

use crate::port::Entry;

/// How it goes with the link.
#[derive(Clone, Debug, PartialEq)]
pub struct EntryView {
    /// The link.
    pub link: Entry,
    /// What it offers, once known; or why it is not good.
    pub offer: Option<Result<InviteOffer, String>>,
    /// It is being used.
    pub busy: bool,
    /// Why the last try failed.
    pub reason: Option<String>,
}

impl EntryView {
    /// A link that was just opened.
    pub(super) fn new(link: Entry) -> Self {
        Self { link, offer: None, busy: false, reason: None }
    }
}

/// Longest sign-in name, characters.
const LOGIN_CHARS_MAX: usize = 64;

/// A sign-in name made of a name: `a-z 0-9 . _ -`, beginning with a letter or digit. Empty where nothing of the name fits.
pub fn login_of(name: &str) -> String {
    let mut login = String::new();
    for char in name.trim().to_lowercase().chars() {
        let char = match char {
            'ä' | 'á' | 'à' | 'â' | 'ã' | 'å' => 'a',
            'é' | 'è' | 'ê' | 'ë' => 'e',
            'í' | 'ì' | 'î' | 'ï' => 'i',
            'ö' | 'ó' | 'ò' | 'ô' | 'õ' | 'ø' => 'o',
            'ü' | 'ú' | 'ù' | 'û' => 'u',
            'ç' => 'c',
            'ñ' => 'n',
            'ß' => 's',
            'a'..='z' | '0'..='9' | '_' | '-' => char,
            _ if char.is_whitespace() || char == '.' => '.',
            _ => continue,
        };
        let separates = !char.is_ascii_alphanumeric();
        if separates && (login.is_empty() || login.ends_with(char)) {
            continue;
        }
        login.push(char);
        if login.len() == LOGIN_CHARS_MAX {
            break;
        }
    }
    while login.ends_with('.') {
        login.pop();
    }
    login
}

/// Whether it can be a sign-in name.
pub fn is_login(login: &str) -> bool {
    let fits = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || "._-".contains(char);
    (1..=LOGIN_CHARS_MAX).contains(&login.len())
        && login.starts_with(|char: char| char.is_ascii_lowercase() || char.is_ascii_digit())
        && login.chars().all(fits)
}
