//! What pages want: what this tab does itself, what it asks of the one that leads, and what becomes of it where none does it.

use std::borrow::Cow;

use holler_core::engine::{Command, Notice, SendState, TalkState};
use holler_core::wire::json;
use holler_core::wire::problem::Problem;

use super::{ASKED_MAX, OUTDATED, Role, STEAL, Tabs, WANTED_MAX, name};
use crate::message::{Storage, ToPage, ToWorker, Waiting, Why};

/// The kind of the wish to know who is in a room.
const WATCH: char = 'w';

impl Tabs {
    /// What a page wants that this tab is not the one to do. Gives it back where it is.
    pub(in crate::worker) fn pass_on(&self, message: ToWorker) -> Option<ToWorker> {
        self.note_wish(&message);
        let role = self.role.get();
        if self.leads()
            && self.others.get()
            && lasts(&message)
            && let Ok(text) = serde_json::to_string(&message)
        {
            self.post("wish", &self.id, &text);
        }
        if role == Role::Leads {
            return Some(message);
        }
        let alone = matches!(
            message,
            ToWorker::Command(Command::KeyDown { .. })
                | ToWorker::SignIn { .. }
                | ToWorker::Join { .. }
                | ToWorker::Reset { .. }
                | ToWorker::Waiting(Waiting::Play(_))
        );
        let for_the_leader = alone
            || matches!(
                message,
                ToWorker::Command(_)
                    | ToWorker::SignOut
                    | ToWorker::Connect
                    | ToWorker::Look
                    | ToWorker::Direct(_)
                    | ToWorker::Waiting(_)
            );
        if !for_the_leader {
            return Some(message);
        }
        let waits = role == Role::Begins || !self.wanted.borrow().is_empty();
        if alone || waits {
            if !waits {
                self.ask_way();
            }
            self.want(message);
        } else if role == Role::Follows {
            self.ask(&message);
        } else if matches!(message, ToWorker::Command(Command::Send { .. })) {
            // The newer one says that this tab is not the one to do it; where there is none, it is.
            self.ask_way();
            self.want(message);
        }
        None
    }

    /// Notes what holds for as long as the page is there: a new leader is told again.
    pub(super) fn note_wish(&self, message: &ToWorker) {
        let ToWorker::Command(command) = message else { return };
        #[expect(clippy::wildcard_enum_match_arm, reason = "all others are done once")]
        let key = match command {
            Command::WatchPresence { room } | Command::UnwatchPresence { room } => name(WATCH, Some(room.bytes()), 0),
            Command::SetPrimary { .. } => name('p', None, 0),
            Command::SetHearing { .. } => name('h', None, 0),
            Command::SetPresence { .. } => name('s', None, 0),
            Command::Mute { room, .. } => name('m', Some(room.bytes()), 0),
            _ => return,
        };
        let mut wishes = self.wishes.borrow_mut();
        if matches!(command, Command::UnwatchPresence { .. }) {
            wishes.remove(&key);
        } else if let Ok(text) = serde_json::to_string(message) {
            wishes.insert(key, text);
        }
    }

    /// Another tab leads from now on: it is asked for what this page shows, and for what none is known to have.
    pub(super) fn ask_again(&self) {
        let (wishes, asked) = (self.wishes.borrow(), self.asked_for.borrow());
        let watched = wishes.iter().filter(|(key, _)| key.starts_with(WATCH)).map(|(_, text)| text);
        for text in watched.chain(asked.iter().map(|(_, text)| text)) {
            self.post("ask", &self.id, text);
        }
        if !self.wanted.borrow().is_empty() {
            self.ask_way();
        }
        if self.shell.upgrade().is_some_and(|shell| shell.aloud.get()) {
            self.sounds(true);
        }
    }

    /// A newer version leads: this tab waits for the lock no more, and says what there is to do.
    pub(super) fn is_outdated(&self) {
        self.steal.set(None);
        self.asked.set(self.asked.get().wrapping_add(1));
        self.role.set(Role::Outdated);
        let asked = self.asked_for.take();
        self.wanted.borrow_mut().extend(asked.iter().filter_map(|(_, asked)| json::read(asked).ok()));
        self.turned_down(OUTDATED);
        if let Some(shell) = self.shell.upgrade() {
            shell.tell(&ToPage::Storage(Storage::Newer));
        }
    }

    /// This tab is not the one to lead: what only that one can do has failed, the rest is asked of the leader.
    pub(super) fn turned_down(&self, why: &str) {
        let Some(shell) = self.shell.upgrade() else { return };
        let reason = || Why { kind: why.to_owned(), detail: why.to_owned() };
        for message in self.wanted.take() {
            #[expect(clippy::wildcard_enum_match_arm, reason = "all others are asked of the leader")]
            shell.tell(&match message {
                ToWorker::Command(Command::KeyDown { room, burst, .. }) => {
                    let state = TalkState::Failed { detail: why.to_owned() };
                    ToPage::Notice(Notice::Talk { room, burst, state })
                }
                ToWorker::SignIn { .. } => ToPage::SignInFailed(reason()),
                ToWorker::Join { .. } | ToWorker::Reset { .. } => ToPage::EntryFailed(reason()),
                ToWorker::Command(Command::Send { room, client_id, .. }) if why == OUTDATED => {
                    let (kind, title) = (Cow::Borrowed(OUTDATED), Cow::Borrowed(OUTDATED));
                    let detail = OUTDATED.to_owned();
                    let problem = Problem { kind, title, status: 409, detail, field: None, retry_after_s: None };
                    ToPage::Notice(Notice::Send { room, client_id, state: SendState::Refused { problem } })
                }
                message => {
                    if why != OUTDATED {
                        self.ask(&message);
                    }
                    continue;
                }
            });
        }
    }

    /// Asks the leader for something; for what is done once, until it is known to have it.
    fn ask(&self, message: &ToWorker) {
        // A button that was never down here ends nobody's burst.
        if matches!(message, ToWorker::Command(Command::KeyUp)) {
            return;
        }
        let Ok(text) = serde_json::to_string(message) else { return };
        self.post("ask", &self.id, &text);
        let mut asked = self.asked_for.borrow_mut();
        if stays(message) && asked.len() < ASKED_MAX {
            let name = if let ToWorker::Command(Command::Send { client_id, .. }) = message {
                client_id.to_string()
            } else {
                String::new()
            };
            asked.push_back((name, text));
        }
    }

    /// The leader has a text of which it tells something.
    pub(super) fn note_told(&self, text: &str) {
        let mut asked = self.asked_for.borrow_mut();
        if !asked.is_empty() {
            for line in text.lines().filter(|line| line.starts_with(r#"{"Notice":{"Send":"#)) {
                asked.retain(|(name, _)| name.is_empty() || !line.contains(name.as_str()));
            }
        }
    }

    /// Keeps what this tab's page wants for when it leads.
    fn want(&self, message: ToWorker) {
        let mut wanted = self.wanted.borrow_mut();
        wanted.push_back(message);
        let over = if wanted.len() > WANTED_MAX { wanted.pop_front() } else { None };
        drop(wanted);
        if let Some(text @ ToWorker::Command(Command::Send { .. })) = over {
            self.ask(&text);
        }
    }

    /// Wants to lead.
    fn ask_way(&self) {
        self.post("way", &self.id, "");
        self.steal.set(Some(STEAL));
    }

    /// This tab's page can be heard, or can't be.
    pub(in crate::worker) fn sounds(&self, on: bool) {
        if on && !self.leads() {
            self.post("sounds", &self.id, "");
        } else if !on && self.role.get() == Role::Leads {
            // Who can be says so.
            self.post("leads", "", "");
        }
    }
}

/// Whether it holds for the person, whichever tab it was said in.
pub(super) fn lasts(message: &ToWorker) -> bool {
    let ToWorker::Command(command) = message else { return false };
    matches!(command, Command::SetHearing { .. } | Command::SetPresence { .. } | Command::Mute { .. })
}

/// Whether it is done once, and matters: it is asked for until the leader has it.
pub(super) fn stays(message: &ToWorker) -> bool {
    matches!(
        message,
        ToWorker::SignOut
            | ToWorker::Direct(_)
            | ToWorker::Waiting(_)
            | ToWorker::Command(
                Command::Send { .. } | Command::Read { .. } | Command::Heard { .. } | Command::ClearEmergency { .. }
            )
    )
}
