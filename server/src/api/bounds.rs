//! The bounds on names, logins and passwords, for the API and the command line.

use holler_core::wire::limits::{LOGIN_CHARS_MAX, NAME_CHARS_MAX, PASSWORD_BYTES_MAX};
use holler_core::wire::policy::Policy;
use holler_core::wire::problem::{Problem, ProblemKind};

/// A name of a user, room, device or workspace: 1 to 80 characters, none of them a control character, not blank.
pub fn name(field: &'static str, text: &str) -> Result<(), Problem> {
    let characters = text.chars().count();
    if characters == 0 || characters > NAME_CHARS_MAX || text.trim().is_empty() {
        let detail = format!("expected 1 to {NAME_CHARS_MAX} characters that are not all blank; found {characters}");
        return Err(Problem::new(ProblemKind::OutOfBounds, detail).field(field));
    }
    if text.chars().any(char::is_control) {
        return Err(Problem::new(ProblemKind::OutOfBounds, "a name has no control characters").field(field));
    }
    Ok(())
}

/// A sign-in name: 1 to 64 of `a-z 0-9 . _ -`, beginning with a letter or digit.
pub fn login(text: &str) -> Result<(), Problem> {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if begins && text.len() <= LOGIN_CHARS_MAX && text.bytes().all(allowed) {
        return Ok(());
    }
    let detail = format!("expected 1 to {LOGIN_CHARS_MAX} of a-z 0-9 . _ -, beginning with a letter or digit");
    Err(Problem::new(ProblemKind::OutOfBounds, detail).field("login"))
}

/// A new password: as many characters as the policy asks for, 10 by default, and at most 256 bytes.
pub fn new_password(text: &str, policy: &Policy) -> Result<(), Problem> {
    let (characters, least) = (text.chars().count(), policy.password_chars_min as usize);
    if characters < least {
        let detail = format!("a password has at least {least} characters; found {characters}");
        return Err(Problem::new(ProblemKind::OutOfBounds, detail).field("password"));
    }
    shown_password(text)
}

/// A password that is to be checked: at most 256 bytes.
pub fn shown_password(text: &str) -> Result<(), Problem> {
    if text.len() > PASSWORD_BYTES_MAX {
        let detail = format!("a password has at most {PASSWORD_BYTES_MAX} bytes; found {}", text.len());
        return Err(Problem::new(ProblemKind::OutOfBounds, detail).field("password"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_1_to_80_characters() {
        assert!(name("name", "Zoë 🎙").is_ok());
        assert!(name("name", &"é".repeat(80)).is_ok());
        for bad in ["", "  ", "a\nb", "a\u{7f}", &"é".repeat(81)] {
            assert_eq!(name("name", bad).unwrap_err().field.as_deref(), Some("name"), "{bad:?}");
        }
    }

    #[test]
    fn logins_are_plain() {
        for good in ["a", "0", "sam.o-neil_2", &"a".repeat(64)] {
            assert!(login(good).is_ok(), "{good}");
        }
        for bad in ["", ".sam", "Sam", "sam smith", "zoë", &"a".repeat(65)] {
            assert!(login(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn passwords_have_10_characters_and_256_bytes() {
        let policy = Policy::default();
        assert!(new_password("ten chars!", &policy).is_ok());
        assert!(new_password("nine char", &policy).is_err());
        assert!(new_password(&"a".repeat(257), &policy).is_err());
        assert!(new_password("nine char", &Policy { password_chars_min: 9, ..policy }).is_ok());
        assert!(shown_password("short").is_ok());
    }
}
