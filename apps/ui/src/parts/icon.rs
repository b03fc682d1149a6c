//! Icons: one drawing for each thing and state, the same everywhere.

use dioxus::prelude::*;

/// What an icon stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IconName {
    /// Ready to talk.
    Microphone,
    /// On its way.
    Dots,
    /// Heard live.
    Waves,
    /// Somebody else is heard.
    Speaker,
    /// Silenced.
    Muted,
    /// Waiting in line.
    Queue,
    /// Refused.
    No,
    /// No connection.
    Offline,
    /// An emergency.
    Alarm,
    /// Delivered.
    Check,
    /// A room.
    Room,
    /// A person.
    Person,
    /// Back.
    Back,
    /// Play.
    Play,
    /// Stop.
    Stop,
    /// Send.
    Send,
    /// Put away.
    Close,
    /// Play it again.
    Again,
    /// What can be set.
    Settings,
    /// Answer.
    Reply,
    /// Change.
    Edit,
    /// Somebody new.
    Invite,
    /// Goes on by itself.
    Locked,
    /// Goes on while it is held.
    Unlocked,
}

/// A drawing in the colour of the text around it; it says nothing to screen readers, the words beside it do.
#[component]
pub fn Icon(name: IconName) -> Element {
    let paths: &[&str] = match name {
        IconName::Microphone => {
            &["M12 3a3 3 0 0 1 3 3v5a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3z", "M6 11a6 6 0 0 0 12 0M12 17v4M9 21h6"]
        }
        IconName::Dots => &["M5 12h.01M12 12h.01M19 12h.01"],
        IconName::Waves => &["M4 10v4M8 7v10M12 4v16M16 7v10M20 10v4"],
        IconName::Speaker => &["M4 10v4h3l5 4V6L7 10z", "M15.5 9.5a3.5 3.5 0 0 1 0 5M18 7a7 7 0 0 1 0 10"],
        IconName::Muted => &["M4 10v4h3l5 4V6L7 10z", "M16 9.5l5 5M21 9.5l-5 5"],
        IconName::Queue => &["M4 6h10M4 12h10M4 18h7", "M18 9v6l3-3z"],
        IconName::No => &["M12 4a8 8 0 1 1 0 16 8 8 0 0 1 0-16z", "M6.5 6.5l11 11"],
        IconName::Offline => &["M9 7H7a5 5 0 0 0 0 10h2M15 7h2a5 5 0 0 1 0 10h-2", "M4 3l16 18"],
        IconName::Alarm => &["M12 4L2.5 20h19z", "M12 10v4M12 17h.01"],
        IconName::Check => &["M5 12.5l4.5 4.5L19 7.5"],
        IconName::Room => &["M4 5h16v11H9l-5 4z"],
        IconName::Person => &["M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8z", "M4 20a8 8 0 0 1 16 0"],
        IconName::Back => &["M15 5l-7 7 7 7"],
        IconName::Play => &["M8 5v14l11-7z"],
        IconName::Stop => &["M7 7h10v10H7z"],
        IconName::Send => &["M4 12l16-8-6 16-3-6z"],
        IconName::Close => &["M6 6l12 12M18 6L6 18"],
        IconName::Again => &["M5 12a7 7 0 1 0 2-5", "M5 4v4h4"],
        IconName::Settings => &["M4 7h9M19 7h1M4 12h2M12 12h8M4 17h8M18 17h2", "M16 5v4M9 10v4M15 15v4"],
        IconName::Reply => &["M9 6L4 11l5 5", "M4 11h9a6 6 0 0 1 6 6v1"],
        IconName::Edit => &["M5 19l1-4L16 5l3 3L9 18z"],
        IconName::Invite => &["M10 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8z", "M3 20a7 7 0 0 1 12-5M18 14v6M15 17h6"],
        IconName::Locked => &["M6 11h12v9H6z", "M8.5 11V8a3.5 3.5 0 0 1 7 0v3"],
        IconName::Unlocked => &["M6 11h12v9H6z", "M8.5 11V7a3.5 3.5 0 0 1 6.5-1.8"],
    };
    // What points along the words points the other way where they run from right to left.
    let turns = matches!(name, IconName::Back | IconName::Send | IconName::Queue);
    rsx! {
        svg { class: if turns { "icon turns" } else { "icon" }, view_box: "0 0 24 24", "aria-hidden": "true", "focusable": "false",
            for d in paths {
                path { d: *d }
            }
        }
    }
}

/// The sign of the product.
#[component]
pub fn Logo() -> Element {
    rsx! {
        svg { class: "logo", view_box: "0 0 32 32", "aria-hidden": "true", "focusable": "false",
            rect { class: "logo-ground", width: "32", height: "32", rx: "8" }
            circle { class: "logo-dot", cx: "11", cy: "16", r: "3.5" }
            path { class: "logo-waves", d: "M17 10a8.5 8.5 0 0 1 0 12M21 6.5a13.5 13.5 0 0 1 0 19" }
        }
    }
}
