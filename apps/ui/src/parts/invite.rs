//! An invite into the room that is looked at: for how many, for how long, then its link and a code for a phone's camera.

use crate::act::act;
use dioxus::prelude::*;
use holler_core::model::Role;

use super::{Banner, BannerKind, Icon, IconName};
use crate::port::{Ask, Host};
use crate::state::InviteView;
use crate::{Ui, t};

/// How many may join by an invite, to choose from.
const USES: [u32; 4] = [1, 5, 20, 100];
/// How long an invite may be good, in days, to choose from.
const DAYS: [u32; 3] = [1, 7, 30];

/// The dark squares of a code, from the server's drawing: how wide it is, and a path of whole numbers. The drawing itself is
/// never taken as markup.
fn squares(svg: &str) -> Option<(u32, String)> {
    let after = |mark: &str| svg.split_once(mark)?.1.split_once('"').map(|(value, _)| value);
    let width = after("viewBox=\"0 0 ")?.split(' ').next()?.parse().ok()?;
    let path = after(" d=\"")?;
    let plain = |character: char| character.is_ascii_digit() || "MmHhVvLlZz -,".contains(character);
    path.chars().all(plain).then(|| (width, path.to_owned()))
}

/// Making an invite, and the one that was made.
#[component]
pub fn Invite() -> Element {
    let mut ui = use_context::<Ui>();
    let (host, copy) = (use_context::<Host>(), use_context::<Host>());
    let mut uses = use_signal(|| USES[0]);
    let mut days = use_signal(|| DAYS[1]);
    let mut copied = use_signal(|| 0_u32);
    let Some(InviteView { room, busy, made }) = ui.view.read().invite.clone() else { return rsx! {} };
    let make = move |event: FormEvent| {
        event.prevent_default();
        // Nobody gives more than they have, and who joins is to talk.
        let role = ui.view.peek().room().and_then(|room| room.role).unwrap_or(Role::Talker).min(Role::Talker);
        if let Some(invite) = &mut ui.view.write().invite {
            (invite.busy, invite.made) = (true, None);
        }
        host.ask(Ask::Invite { room, role, uses: uses(), days: days() });
    };
    let chosen = |event: &FormEvent, of: &[u32]| event.value().parse().ok().filter(|value| of.contains(value));
    let refused = match &made {
        Some(Err(refused)) => Some(refused.clone()),
        Some(Ok(_)) | None => None,
    };
    rsx! {
        section { class: "card stack invite", aria_label: t!("invite-people"),
            div { class: "invite-head",
                h2 { {t!("invite-people")} }
                button {
                    class: "icon-button", r#type: "button", aria_label: t!("close"),
                    onclick: act(move |_| ui.view.write().invite = None),
                    Icon { name: IconName::Close }
                }
            }
            if let Some(refused) = refused {
                Banner { kind: BannerKind::Fault, text: t!("invite-not-made", reason = refused) }
            }
            if let Some(Ok((link, code))) = made {
                p { {t!("invite-made-hint")} }
                if let Some((width, path)) = squares(&code) {
                    svg {
                        class: "qr", view_box: "0 0 {width} {width}", role: "img", "aria-label": t!("invite-code"),
                        rect { class: "qr-ground", width: "{width}", height: "{width}" }
                        path { class: "qr-squares", d: path }
                    }
                }
                label { class: "field",
                    span { {t!("invite-link")} }
                    input { r#type: "text", readonly: true, dir: "ltr", value: "{link}" }
                }
                button {
                    class: "button primary", r#type: "button",
                    onclick: act(move |_| {
                        copied.set(1);
                        copy.ask(Ask::Copy(link.clone()));
                    }),
                    if *copied.read() > 0 { {t!("invite-copied")} } else { {t!("invite-copy")} }
                }
            } else {
                form { class: "stack", onsubmit: make,
                    label { class: "field",
                        span { {t!("invite-uses")} }
                        select {
                            onchange: move |event: FormEvent| {
                                if let Some(value) = chosen(&event, &USES) {
                                    uses.set(value);
                                }
                            },
                            for count in USES {
                                option { value: "{count}", selected: count == *uses.read(), {t!("room-people", count = count)} }
                            }
                        }
                    }
                    label { class: "field",
                        span { {t!("invite-days")} }
                        select {
                            onchange: move |event: FormEvent| {
                                if let Some(value) = chosen(&event, &DAYS) {
                                    days.set(value);
                                }
                            },
                            for count in DAYS {
                                option { value: "{count}", selected: count == *days.read(), {t!("days", count = count)} }
                            }
                        }
                    }
                    button { class: "button primary", r#type: "submit", disabled: busy,
                        if busy { {t!("invite-making")} } else { {t!("invite-make")} }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::squares;

    #[test]
    fn of_a_code_only_its_squares_are_taken() {
        let svg = r##"<?xml version="1.0"?><svg viewBox="0 0 264 264"><path d="M0 0h264v264H0z" fill="#fff"/></svg>"##;
        assert_eq!(squares(svg), Some((264, "M0 0h264v264H0z".to_owned())));
        for wrong in ["", "<svg>", r#"<svg viewBox="0 0 9 9"><path d="M0 0" "#, r#"viewBox="0 0 9 9" d="url(x)""#] {
            assert!(squares(wrong).is_none_or(|(_, path)| path == "M0 0"), "{wrong}");
        }
    }
}
