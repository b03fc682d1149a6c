//! What goes wrong, and what is done more rarely: each has an answer on the screen.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use holler_client::audio::wav;
use serde_json::json;

use super::page::Page;
use super::{
    LIKENESS_MIN, NATIVE, NEW_PASSWORD, OTHER_LOGIN, PATIENCE, ROOM, Round, WEB, heard_at, look_over, samples, shoot,
    spoken_part,
};
use crate::programs::{self, PASSWORD, text};
use crate::tasks::say;

/// Who joins by an invite that was made on the page.
const THIRD_WEB: &str = "Quinn";
const THIRD_LOGIN: &str = "quinn";
/// A room to be taken out of.
const SHORT_ROOM: &str = "Night shift";

impl Round<'_> {
    /// Two people alone, and back.
    pub(super) fn direct_room(&mut self) -> Result<()> {
        self.ask(&json!({"do": "click", "selector": ".people-button"}))?;
        self.ask(&json!({"do": "button", "name": format!("Talk with {NATIVE} alone")}))?;
        self.ask(&json!({"do": "wait-for", "words": NATIVE, "at": ".room-head h1"}))
            .context("the direct room opens")?;
        self.ask(&json!({"do": "send", "text": "just us"})).context("a text in the direct room")?;
        self.ask(&json!({"do": "room", "name": ROOM}))?;
        Ok(())
    }

    /// An invite is made on the page, and somebody joins by its link in another browser.
    pub(super) fn invite_made(&mut self, other: &mut Page) -> Result<()> {
        self.server.command(&["room", "add", SHORT_ROOM, "--kind", "group"])?;
        self.server.command(&["room", "member", SHORT_ROOM, WEB, "--role", "admin"])?;
        // What one may do is told with the list of people and rooms.
        self.ask(&json!({"do": "reload"}))?;
        self.ask(&json!({"do": "room", "name": SHORT_ROOM}))?;
        self.ask(&json!({"do": "click", "selector": ".people-button"}))?;
        self.ask(&json!({"do": "button", "name": "Invite people"}))?;
        self.look_over("invite panel")?;
        self.ask(&json!({"do": "button", "name": "Make the invite"}))?;
        let link = self.ask(&json!({"do": "value", "selector": ".invite input"})).context("the link of the invite")?;
        self.shoot("invite-made")?;
        self.look_over("invite that was made")?;
        other.ask(&json!({"do": "open", "link": link["value"]}))?;
        other.ask(&json!({"do": "wait-for", "words": "You will be in"})).context("what the invite offers")?;
        other.ask(&json!({"do": "fill", "label": "Your name", "text": THIRD_WEB}))?;
        other.ask(&json!({"do": "fill", "label": "New password", "text": PASSWORD}))?;
        other.ask(&json!({"do": "button", "name": "Join"}))?;
        other.ask(&json!({"do": "room", "name": SHORT_ROOM})).context("joined by an invite of the page")?;
        self.ask(&json!({"do": "click", "selector": ".invite [aria-label='Put away']"}))?;
        self.ask(&json!({"do": "wait-for", "words": THIRD_WEB, "at": ".person"}))
            .context("who joined shows at once")?;
        self.ask(&json!({"do": "click", "selector": ".people-button"}))?;
        Ok(())
    }

    /// Whoever is taken out of the room that they look at is told, and goes on elsewhere.
    pub(super) fn room_gone(&mut self, other: &mut Page) -> Result<()> {
        self.server.command(&["room", "member", SHORT_ROOM, THIRD_LOGIN, "--remove"])?;
        other
            .ask(&json!({"do": "wait-for", "words": "no longer there for you", "at": "body"}))
            .context("a room that is gone")?;
        shoot(other, self.shots, "room-gone")?;
        look_over(other, &mut self.faults, "room that is gone")?;
        self.server.command(&["room", "member", SHORT_ROOM, WEB, "--remove"])?;
        self.ask(&json!({"do": "wait-for", "words": "no longer there for you", "at": "body"}))?;
        self.ask(&json!({"do": "room", "name": ROOM}))?;
        Ok(())
    }

    /// A device that is signed out by somebody else is told at once; one that was away is told when it comes back.
    pub(super) fn revoked(&mut self, other: &mut Page) -> Result<()> {
        self.server.command(&["device", "revoke", "--all-of", THIRD_LOGIN])?;
        other
            .ask(&json!({"do": "wait-for", "words": "signed out", "at": "body"}))
            .context("a device that is signed out elsewhere")?;
        shoot(other, self.shots, "revoked")?;
        look_over(other, &mut self.faults, "signed out elsewhere")?;
        other.ask(&json!({"do": "sign-in", "login": OTHER_LOGIN, "password": PASSWORD}))?;
        other.ask(&json!({"do": "away"}))?;
        self.server.command(&["device", "revoke", "--all-of", OTHER_LOGIN])?;
        other.ask(&json!({"do": "open"}))?;
        other.ask(&json!({"do": "wait-for", "words": "Sign in", "at": "button[type=submit]"}))?;
        other
            .ask(&json!({"do": "wait-for", "pattern": "sign in again|signed out", "at": "body"}))
            .context("a sign-in that has ended")?;
        shoot(other, self.shots, "session-ended")?;
        look_over(other, &mut self.faults, "session ended")?;
        Ok(())
    }

    /// Another microphone takes over in the middle of a burst; where there is none, it is said; one that is refused is said too.
    pub(super) fn microphones(&mut self) -> Result<()> {
        self.ask(&json!({"do": "press"}))?;
        self.ask(&json!({"do": "wait-for", "words": "Speak now"}))?;
        let opened =
            |round: &mut Self| Ok::<_, anyhow::Error>(round.ask(&json!({"do": "microphones"}))?["opened"].clone());
        let before = opened(self)?;
        self.ask(&json!({"do": "unplug"}))?;
        self.ask(&json!({"do": "until-opened", "after": before})).context("another microphone is opened")?;
        self.ask(&json!({"do": "captures"})).context("the sound thread hears the other microphone")?;
        self.ask(&json!({"do": "wait-for", "words": "Speak now"})).context("the burst goes on")?;
        self.ask(&json!({"do": "refuse", "error": "NotFoundError"}))?;
        self.ask(&json!({"do": "unplug"}))?;
        self.ask(&json!({"do": "wait-for", "words": "stopped in the middle"})).context("no microphone is left")?;
        self.shoot("unplugged")?;
        self.ask(&json!({"do": "release"}))?;
        self.ask(&json!({"do": "wait-for", "pattern": "Delivered|Heard", "at": ".unseen"}))
            .context("what was said until then")?;
        self.ask(&json!({"do": "refuse", "error": "NotAllowedError"}))?;
        self.ask(&json!({"do": "press"}))?;
        self.ask(&json!({"do": "wait-for", "words": "does not let this page use"})).context("a refused microphone")?;
        self.shoot("microphone-denied")?;
        self.look_over("microphone denied")?;
        self.ask(&json!({"do": "release"}))?;
        self.opened_ahead()
    }

    /// Where it was allowed, the microphone is there before the first press, which is as quick as any: printed.
    fn opened_ahead(&mut self) -> Result<()> {
        self.ask(&json!({"do": "ready", "on": true}))?;
        self.ask(&json!({"do": "reload"}))?;
        self.ask(&json!({"do": "room", "name": ROOM}))?;
        self.ask(&json!({"do": "until-opened", "after": 0})).context("the microphone is opened with the room")?;
        self.ask(&json!({"do": "press"}))?;
        self.ask(&json!({"do": "wait-for", "words": "Speak now"}))?;
        self.ask(&json!({"do": "release"}))?;
        self.ask(&json!({"do": "wait-for", "pattern": "Delivered|Heard"}))?;
        self.first_frame("opened with the room, first press")?;
        self.ask(&json!({"do": "ready", "on": false}))?;
        self.ask(&json!({"do": "reload"}))?;
        self.ask(&json!({"do": "room", "name": ROOM}))?;
        Ok(())
    }

    fn first_frame(&mut self, which: &str) -> Result<()> {
        let figures = self.ask(&json!({"do": "quality"}))?["figures"].clone();
        self.ask(&json!({"do": "button", "name": "Back"}))?;
        let first = figures["Button to first frame sent"].as_str().unwrap_or("?").to_owned();
        let opening = self.ask(&json!({"do": "microphones"}))?["opening_ms"].clone();
        say(&format!(
            "button to first frame sent, microphone {which}: {first}; the browser took {opening} ms to open it"
        ));
        Ok(())
    }

    /// The past is played from its middle, and faster.
    pub(super) fn seek_and_speed(&mut self, whole: &[f32]) -> Result<()> {
        self.ask(&json!({"do": "listen"}))?;
        self.ask(&json!({"do": "click", "selector": ".item.burst:has-text('6.1 s') .play"}))?;
        self.ask(&json!({"do": "slide", "selector": ".wave-seek input", "to": "3000"}))?;
        let (heard, _) = heard_at(&mut self.page, &self.scratch.join("sought.f32"))?;
        let found = crate::similarity::compare(&whole[3 * 48_000..], &heard);
        say(&format!("from the middle: likeness {:.2}", found.similarity));
        if found.similarity < LIKENESS_MIN {
            self.faults.push(format!("what was sought is not what is heard: {found:?}"));
        }
        self.ask(&json!({"do": "listen"}))?;
        self.ask(&json!({"do": "click", "selector": ".item.burst:has-text('6.1 s') .play"}))?;
        for speed in ["1.5", "2"] {
            self.ask(&json!({"do": "click", "selector": ".speed"}))?;
            self.ask(&json!({"do": "wait-for", "words": speed, "at": ".speed"}))?;
        }
        let out = self.scratch.join("faster.f32");
        heard_at(&mut self.page, &out)?;
        let lasted = spoken_part(&samples(&out)?).len() as f64 / 48_000.0;
        say(&format!("6.1 s at double speed: {lasted:.1} s"));
        if !(2.0..4.5).contains(&lasted) {
            self.faults.push(format!("6.1 s at double speed lasted {lasted:.1} s"));
        }
        Ok(())
    }

    /// From the button to the first frame sent, with a microphone that this page has not opened yet, and with an open one: printed.
    pub(super) fn warm(&mut self) -> Result<()> {
        let opened = self.ask(&json!({"do": "microphones"}))?["opened"] != 0;
        ensure!(!opened, "the page was loaded anew, and opened its microphone by itself");
        for attempt in ["not open, first press", "open, second press", "open, third press"] {
            self.ask(&json!({"do": "press"}))?;
            self.ask(&json!({"do": "wait-for", "words": "Speak now"}))?;
            self.ask(&json!({"do": "release"}))?;
            self.ask(&json!({"do": "wait-for", "pattern": "Delivered|Heard"}))?;
            self.first_frame(attempt)?;
        }
        Ok(())
    }

    /// A crowded room, and a long one: how the main thread and the screen's frames do while it is scrolled. Printed.
    pub(super) fn crowd(&mut self) -> Result<()> {
        self.ask(&json!({"do": "send", "text": "before the crowd"}))?;
        for (words, members, every_s, past) in
            [("1,000 members, 50 events a second", 1_000, 50, 0), ("50,000 events of the past", 1_000, 0, 50_000)]
        {
            let deed = json!({"do": "crowd", "members": members, "every_s": every_s, "seconds": 8, "past": past});
            let found = self.ask(&deed).context(words)?;
            say(&format!(
                "{words}, scrolled for 8 s: {} frames, 95 % within {} ms, the longest {} ms; tasks over 50 ms on the main thread: {}; \
                 {} lines drawn of {} px",
                found["frames"],
                found["p95_ms"],
                found["worst_ms"],
                found["long_tasks_ms"],
                found["items"],
                found["height"]
            ));
        }
        self.ask(&json!({"do": "reload"}))?;
        self.ask(&json!({"do": "room", "name": ROOM}))?;
        Ok(())
    }

    /// Eight hours of listening, a burst a minute, as the worker tells them: what the page holds after the first hour is what it
    /// holds at the end, but for the lines of its timeline.
    pub(super) fn day(&mut self) -> Result<()> {
        let found = self.ask(&json!({"do": "day", "bursts": 480, "first": 60})).context("a day of listening")?;
        say(&format!(
            "480 bursts heard, {} messages of the worker each: after 60 of them the page holds {}, after all {}",
            found["messages"], found["before"], found["after"]
        ));
        for (what, most) in [("script_kib", 1_024), ("buffers_kib", 2_048), ("nodes", 1_000), ("listeners", 100)] {
            let [before, after] = ["before", "after"].map(|when| found[when][what].as_u64().unwrap_or(0));
            if after == 0 || after > before + most {
                self.faults.push(format!("over a day of listening {what} grew from {before} to {after}"));
            }
        }
        self.ask(&json!({"do": "reload"}))?;
        self.ask(&json!({"do": "room", "name": ROOM}))?;
        Ok(())
    }

    /// A browser without WebCodecs loads a codec of ours, and talks and hears as any.
    pub(super) fn without_webcodecs(&mut self) -> Result<()> {
        self.ask(&json!({"do": "without-webcodecs", "on": true}))?;
        self.ask(&json!({"do": "reload"}))?;
        self.ask(&json!({"do": "room", "name": ROOM}))?;
        ensure!(self.ask(&json!({"do": "own-codec"}))?["own"] == true, "the browser has WebCodecs all the same");
        self.ask(&json!({"do": "offline", "offline": true}))?;
        self.ask(&json!({"do": "reload"}))?;
        ensure!(self.ask(&json!({"do": "own-codec"}))?["own"] == true, "it starts without the network, with its codec");
        self.ask(&json!({"do": "offline", "offline": false}))?;
        self.ask(&json!({"do": "room", "name": ROOM}))?;
        let out = self.scratch.join("own-codec");
        std::fs::create_dir_all(&out).context("a folder for what is heard")?;
        let arguments = ["listen", ROOM, "--out", text(&out)?, "--bursts", "1", "--timeout", "60"];
        let mut listener = self.server.client(NATIVE, &arguments)?;
        listener.wait_for(PATIENCE, |line| line["type"] == "listening").context("the native listener")?;
        self.ask(&json!({"do": "listen"}))?;
        self.ask(&json!({"do": "press"}))?;
        self.ask(&json!({"do": "wait-for", "words": "Speak now"})).context("it talks")?;
        self.ask(&json!({"do": "captured-for", "ms": 6_000}))?;
        self.ask(&json!({"do": "release"}))?;
        let lines = listener.finish(PATIENCE).context("the native listener")?;
        let complete = lines.iter().find(|line| line["type"] == "complete").context("the burst came complete")?;
        let heard = wav::read(Path::new(complete["file"].as_str().context("its file")?))?;
        let file = self.scratch.join("own-codec.f32");
        self.ask(&json!({"do": "captured", "out": text(&file)?}))?;
        self.compare("page with our codec to native", LIKENESS_MIN, &spoken_part(&samples(&file)?), &heard, "");
        let file = programs::fixture("speech-a.wav");
        self.ask(&json!({"do": "listen"}))?;
        self.server.client(NATIVE, &["talk", ROOM, text(&file)?])?.finish(PATIENCE).context("the native talker")?;
        let (heard, _) = heard_at(&mut self.page, &self.scratch.join("own-codec.f32"))?;
        self.compare("native to page with our codec", LIKENESS_MIN, &wav::read(&file)?, &heard, "");
        self.ask(&json!({"do": "without-webcodecs", "on": false}))?;
        self.ask(&json!({"do": "reload"}))?;
        self.ask(&json!({"do": "room", "name": ROOM}))?;
        Ok(())
    }

    /// The buttons of a headset stop what plays.
    pub(super) fn headset(&mut self) -> Result<()> {
        self.ask(&json!({"do": "click", "selector": ".item.burst:has-text('6.1 s') .play"}))?;
        self.ask(&json!({"do": "media", "button": "pause"}))?;
        self.ask(&json!({"do": "gone", "selector": ".play.playing"}))
            .context("the button for a pause stops what plays")?;
        self.ask(&json!({"do": "press"}))?;
        self.ask(&json!({"do": "wait-for", "words": "Speak now"}))?;
        self.ask(&json!({"do": "media", "button": "hangup"}))?;
        self.ask(&json!({"do": "wait-for", "pattern": "Delivered|Heard"})).context("hanging up ends a burst")?;
        self.ask(&json!({"do": "release"}))?;
        Ok(())
    }

    /// The words and the layout turn with the language, and back.
    pub(super) fn another_language(&mut self) -> Result<()> {
        self.ask(&json!({"do": "choose", "label": "Language", "value": "ar"}))?;
        self.ask(&json!({"do": "wait-for", "words": "تسجيل الخروج هنا"})).context("the settings in Arabic")?;
        let direction = self.ask(&json!({"do": "attribute", "selector": "html", "name": "dir"}))?;
        if direction["value"] != "rtl" {
            self.faults.push(format!("Arabic runs {}", direction["value"]));
        }
        self.look_over("settings in Arabic")?;
        self.shoot("settings-arabic")?;
        self.ask(&json!({"do": "click", "selector": ".room-row"}))?;
        self.ask(&json!({"do": "wait-for", "words": "اضغط باستمرار لتتكلم"})).context("a room in Arabic")?;
        self.look_over("room in Arabic")?;
        self.shoot("room-arabic")?;
        self.ask(&json!({"do": "button", "name": "الإعدادات"}))?;
        self.ask(&json!({"do": "choose", "label": "اللغة", "value": "en"}))?;
        self.ask(&json!({"do": "wait-for", "words": "Sign out here"})).context("the settings in English again")?;
        Ok(())
    }

    /// Black on white, or white on black, and nothing in between.
    pub(super) fn high_contrast(&mut self) -> Result<()> {
        self.ask(&json!({"do": "click", "selector": "label:has-text('High contrast') input"}))?;
        self.look_over("settings in high contrast")?;
        self.shoot("settings-contrast")?;
        self.ask(&json!({"do": "click", "selector": ".room-row"}))?;
        self.ask(&json!({"do": "wait-for", "words": "Hold to talk"}))?;
        self.look_over("room in high contrast")?;
        self.shoot("room-contrast")?;
        // What a broken disk would make the worker say; that it does say it is tested with a store that is really damaged.
        for message in [json!({"Damaged": 2}), json!({"Storage": "Full"})] {
            self.ask(&json!({"do": "worker-says", "message": message}))?;
        }
        self.ask(&json!({"do": "wait-for", "words": "Damaged records"}))?;
        self.look_over("what is kept is damaged")?;
        self.shoot("store-damaged")?;
        self.ask(&json!({"do": "worker-says", "message": {"Storage": "Kept"}}))?;
        self.ask(&json!({"do": "click", "selector": ".banner.fault .icon-button"}))?;
        self.ask(&json!({"do": "button", "name": "Settings"}))?;
        self.ask(&json!({"do": "click", "selector": "label:has-text('High contrast') input"}))?;
        Ok(())
    }

    /// A room is left, found, opened and talked in without a pointer.
    pub(super) fn keyboard_alone(&mut self) -> Result<()> {
        self.ask(&json!({"do": "reload"}))?;
        self.ask(&json!({"do": "tab", "name": ROOM, "presses": 10}))?;
        self.ask(&json!({"do": "key", "key": "Enter"}))?;
        self.ask(&json!({"do": "wait-for", "words": "Hold to talk"}))?;
        self.ask(&json!({"do": "tab", "name": "to talk", "presses": 30}))?;
        self.ask(&json!({"do": "press", "key": "Space"}))?;
        self.ask(&json!({"do": "wait-for", "words": "Speak now"})).context("the keyboard alone talks")?;
        self.ask(&json!({"do": "release", "key": "Space"}))?;
        self.ask(&json!({"do": "wait-for", "words": "Hold to talk"}))?;
        Ok(())
    }

    /// A one-time link sets a new password, signs in, and leaves the address.
    pub(super) fn new_password(&mut self) -> Result<()> {
        let link = self.server.reset(WEB)?;
        self.ask(&json!({"do": "open", "link": link}))?;
        self.ask(&json!({"do": "wait-for", "words": "works once"}))?;
        self.shoot("reset")?;
        self.look_over("reset")?;
        self.ask(&json!({"do": "fill", "label": "New password", "text": NEW_PASSWORD}))?;
        self.ask(&json!({"do": "button", "name": "Set the password"}))?;
        self.ask(&json!({"do": "wait-for", "words": "Choose a room"})).context("signed in with the new password")?;
        Ok(())
    }

    /// Silence is asked for and shown; what was missed is counted, and being told of such is offered, once.
    pub(super) fn silence(&mut self) -> Result<()> {
        self.ask(&json!({"do": "click", "selector": ".mute"}))?;
        let pressed = self.ask(&json!({"do": "attribute", "selector": ".mute", "name": "aria-pressed"}))?;
        if pressed["value"] != "true" {
            self.faults.push(format!("a room that was silenced shows {}", pressed["value"]));
        }
        self.ask(&json!({"do": "click", "selector": ".mute"}))?;
        let file = programs::fixture("speech-a.wav");
        self.ask(&json!({"do": "listen"}))?;
        self.server.client(NATIVE, &["talk", ROOM, text(&file)?])?.finish(PATIENCE).context("the native talker")?;
        self.ask(&json!({"do": "wait-for", "words": "Hold to talk"}))?;
        self.ask(&json!({"do": "gave-way"}))?;
        self.ask(&json!({"do": "wait-for", "words": "Be told of what you miss"}))
            .context("notifications are offered")?;
        self.look_over("missed")?;
        self.shoot("missed")?;
        self.ask(&json!({"do": "button", "name": "Not now"}))?;
        self.ask(&json!({"do": "gone", "selector": ".banner:has-text('Be told')"})).context("asked once")?;
        Ok(())
    }
}
