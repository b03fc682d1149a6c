//! Exit codes: one table, shown by `--help` and in docs/CLI.md.

/// Appended to the help.
pub(crate) const TABLE: &str = "\
Exit codes:
  0  done
  1  a fault that none of the others describes, such as a file that can't be written
  2  the command line is wrong
  3  not signed in, or the sign-in was refused: holler login URL
  4  no connection to the server
  5  the server refused: no such room, not a member, a text that is too long
  6  the floor was denied, or a wait ran out
  7  incomplete: something was lost, or has not been delivered yet";

/// How a command ended badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    Fault = 1,
    Usage = 2,
    SignIn = 3,
    Network = 4,
    Refused = 5,
    Denied = 6,
    Incomplete = 7,
}

impl Code {
    /// The word in the JSON error object.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Fault => "fault",
            Self::Usage => "usage",
            Self::SignIn => "sign-in",
            Self::Network => "network",
            Self::Refused => "refused",
            Self::Denied => "denied",
            Self::Incomplete => "incomplete",
        }
    }
}

/// Why a command failed, in words that say what to do.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// Without the advice to sign in, where somebody is doing just that.
    pub(crate) fn without_advice(self) -> Self {
        Self { message: self.message.trim_end_matches("; sign in with: holler login URL").to_owned(), ..self }
    }
}

impl<E: core::fmt::Display> From<(Code, E)> for Failure {
    fn from((code, error): (Code, E)) -> Self {
        Self { code, message: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_and_the_documentation_name_every_code() {
        let documentation = include_str!("../../../docs/CLI.md");
        for code in
            [Code::Fault, Code::Usage, Code::SignIn, Code::Network, Code::Refused, Code::Denied, Code::Incomplete]
        {
            let line = TABLE.lines().find(|line| line.trim_start().starts_with(&format!("{} ", code as u8)));
            assert!(line.is_some(), "{code:?} is missing in --help");
            let row = format!("| {} | `{}` |", code as u8, code.word());
            assert!(documentation.contains(&row), "docs/CLI.md lacks {row}");
        }
    }
}
