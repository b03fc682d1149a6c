//! A tab begins to lead, and gives way.

use std::rc::Rc;

use holler_core::engine::Input;
use holler_core::wire::json;

use super::{Role, SPEAKS, STEAL, UNKEPT};
use crate::message::{Storage, ToPage};
use crate::worker::Shell;

impl Shell {
    /// This tab leads from now on: it begins with what is kept, and does what its page wanted meanwhile.
    pub(super) async fn lead(self: Rc<Self>) {
        let tabs = &self.tabs;
        tabs.steal.set(None);
        tabs.hello.set(None);
        tabs.give.set(None);
        tabs.fresh.set(false);
        tabs.role.set(Role::Begins);
        let turn = tabs.turn();
        self.tell(&ToPage::Leading(true));
        self.play_aloud();
        Rc::clone(&self).begin().await;
        if tabs.turn() != turn {
            return;
        }
        let wishes: Vec<String> = tabs.wishes.borrow().values().cloned().collect();
        let asked = tabs.asked_for.take().into_iter().map(|(_, text)| text);
        for text in wishes.into_iter().chain(asked) {
            if let Ok(message) = json::read(&text) {
                self.perform_for_tab(None, message, None);
            }
        }
        while let Some(message) = { tabs.wanted.borrow_mut().pop_front() } {
            self.perform_for_tab(None, message, None);
        }
        tabs.role.set(Role::Leads);
        tabs.post("leads", "", "");
        Rc::clone(&self).give_way().await;
    }

    /// Answers the tab that wants to lead, where there is one: this one leads no more, or says why it does.
    pub(super) async fn give_way(self: Rc<Self>) {
        if self.tabs.asker.borrow().is_none() {
            return;
        }
        let turn = self.tabs.turn();
        let kept = self.store.is_kept().await && self.vault.is_kept().await;
        let Some((role, next)) = self.tabs.asker.take() else { return };
        if self.tabs.turn() != turn {
            return;
        }
        if self.sound.is_recording() {
            self.tabs.post("busy", &next, SPEAKS);
        } else if kept {
            self.follow(role, Some(next)).await;
        } else {
            self.tabs.post("busy", &next, UNKEPT);
        }
    }

    /// This tab leads no more. What it has is on the disk before the lock is given away: to the tab `next` that asked for it, past
    /// those that wait.
    pub(super) async fn follow(self: Rc<Self>, role: Role, next: Option<String>) {
        // Where the lock was taken away in the middle of a burst: that one ends with what was spoken.
        self.sound.no_microphone(SPEAKS);
        self.tabs.role.set(role);
        self.tabs.asker.take();
        self.tabs.turned_down(SPEAKS);
        self.tell(&ToPage::Leading(false));
        self.input(Input::Stop);
        self.store.shut(false).await;
        self.vault.give_up();
        self.reset();
        self.tabs.watched.take();
        match next {
            Some(next) => {
                self.tabs.post("yours", &next, "");
                self.tabs.give.set(Some(STEAL));
            }
            None => self.tabs.give(),
        }
        match role {
            Role::Outdated => self.tell(&ToPage::Storage(Storage::Newer)),
            Role::Follows | Role::Begins | Role::Leads => self.tabs.lock(false),
        }
    }

    /// Asks the server, where this page asks something, as who is signed in.
    pub(super) async fn take_token(self: Rc<Self>) {
        let profile = self.vault.read().await.filter(|profile| profile.signed_in);
        self.rest.set_token(profile.map(|profile| profile.access_token));
    }
}
