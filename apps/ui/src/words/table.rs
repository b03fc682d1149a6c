//! One language's messages, read from its file.

use holler_core::sorted;

use super::{Arg, Language};

/// Marks of the Unicode Bidirectional Algorithm (UAX 9) around words that may run the other way: "first strong isolate" and its end.
const ISOLATE: (char, char) = ('\u{2068}', '\u{2069}');

/// One language's messages.
#[derive(Debug)]
pub(super) struct Table {
    language: Language,
    messages: sorted::Map<String, Message>,
}

/// What a key says.
#[derive(Debug)]
enum Message {
    /// One line.
    Line(String),
    /// A line for each case of an argument, in order; the one marked `true` is for whatever no other is for.
    Choice { by: String, cases: Vec<(String, bool, String)> },
}

impl Table {
    /// Reads a file. What is not of the form that the head of `words` describes is passed over; the tests find it.
    pub(super) fn read(language: Language, file: &str) -> Self {
        let mut messages = sorted::Map::new();
        let mut last = None::<String>;
        for line in file.lines().filter(|line| !line.starts_with('#')) {
            if !line.starts_with(' ') {
                if let Some((key, words)) = line.split_once('=') {
                    let key = key.trim().to_owned();
                    messages.insert(key.clone(), Message::Line(words.trim().to_owned()));
                    last = Some(key);
                }
                continue;
            }
            let Some(message) = last.as_ref().and_then(|key| messages.get_mut(key)) else { continue };
            let line = line.trim();
            if let Some(by) = line.strip_prefix("{ $").and_then(|line| line.strip_suffix(" ->")) {
                *message = Message::Choice { by: by.to_owned(), cases: Vec::new() };
            } else if let Message::Choice { cases, .. } = message
                && let Some((case, words)) = line.split_once(']')
                && let Some((mark, case)) = case.split_once('[')
            {
                cases.push((case.to_owned(), mark == "*", words.trim().to_owned()));
            }
        }
        Self { language, messages }
    }

    /// What a key says; `None`: nothing.
    pub(super) fn say(&self, key: &str, args: &[(&str, Arg)]) -> Option<String> {
        let line = match self.messages.get(key)? {
            Message::Line(line) => line,
            Message::Choice { by, cases } => {
                let wanted = match args.iter().find(|(name, _)| name == by) {
                    Some((_, Arg::Count(count))) => self.language.plural(*count),
                    Some((_, Arg::Text(text))) => text.as_str(),
                    None => "",
                };
                let default = || cases.iter().find(|(_, default, _)| *default);
                let (_, _, words) = cases.iter().find(|(case, ..)| case == wanted).or_else(default)?;
                words
            }
        };
        Some(self.fill(line, args))
    }

    fn fill(&self, line: &str, args: &[(&str, Arg)]) -> String {
        let mut said = String::with_capacity(line.len());
        let mut rest = line;
        while let Some((before, after)) = rest.split_once("{ $")
            && let Some((name, after)) = after.split_once(" }")
        {
            said.push_str(before);
            // Alone it is a paragraph of its own, and finds its direction by itself.
            let isolated = self.language.is_rtl() && !(said.is_empty() && after.is_empty() && rest == line);
            said.extend(isolated.then_some(ISOLATE.0));
            match args.iter().find(|(arg, _)| *arg == name) {
                Some((_, Arg::Text(text))) => said.push_str(text),
                Some((_, Arg::Count(count))) => said.push_str(&count.to_string()),
                None => {}
            }
            said.extend(isolated.then_some(ISOLATE.1));
            rest = after;
        }
        said.push_str(rest);
        said
    }

    /// Every key with the arguments that its words use.
    #[cfg(test)]
    pub(super) fn arguments(&self) -> sorted::Map<&str, sorted::Set<&str>> {
        let of = |line| line_arguments(line);
        let each = self.messages.iter().map(|(key, message)| {
            let names = match message {
                Message::Line(line) => of(line),
                Message::Choice { by, cases } => {
                    cases.iter().flat_map(|(_, _, line)| of(line)).chain([by.as_str()]).collect()
                }
            };
            (key.as_str(), names.into_iter().collect())
        });
        each.collect()
    }
}

#[cfg(test)]
fn line_arguments(line: &str) -> Vec<&str> {
    line.split("{ $").skip(1).filter_map(|part| part.split_once(" }")).map(|(name, _)| name).collect()
}
