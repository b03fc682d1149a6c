//! What waits to be delivered, in one line, and how it is kept meanwhile.

use crate::act::act;
use crate::memo::use_memo;
use dioxus::prelude::*;

use super::{Banner, BannerKind};
use crate::port::{Host, Storage};
use crate::state::Link;
use crate::{Ui, seconds, t};

/// What is queued, since when, and when the next try is.
#[component]
pub fn Queued() -> Element {
    let mut ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let queue = use_memo(move || {
        let view = ui.view.read();
        let held = view.waiting().filter(|waits| waits.held).count();
        let since = view.waiting().map(|waits| waits.since).min();
        (view.waiting().count(), held, since, view.link.clone(), view.queue_open)
    });
    let (count, held, since, link, open) = queue.read().clone();
    let Some(since) = since.filter(|_| !open) else { return rsx! {} };
    let since = host.clock(since);
    let words = match link {
        _ if held == count => t!("queue-held", count = count),
        Link::Down { retry_at, .. } => {
            let left = seconds(retry_at - *ui.now.read());
            t!("queue-next", count = count, since = since, seconds = left)
        }
        Link::New | Link::Up | Link::Trying | Link::Ended { .. } => t!("queue-since", count = count, since = since),
    };
    rsx! {
        div { class: "queued",
            Banner { kind: BannerKind::Note, text: words,
                button {
                    class: "button", r#type: "button",
                    onclick: act(move |_| ui.view.write().queue_open = true),
                    {t!("queue-show")}
                }
            }
        }
    }
}

/// Where what is said now may not outlive this page: why, and what to do.
#[component]
pub fn Kept() -> Element {
    let ui = use_context::<Ui>();
    let storage = use_memo(move || ui.view.read().storage.clone());
    let words = match &*storage.read() {
        Storage::Kept => return rsx! {},
        Storage::Full => t!("storage-full"),
        Storage::Missing(reason) => t!("storage-missing", reason = reason.as_str()),
        Storage::Newer => t!("storage-newer"),
    };
    rsx! {
        Banner { kind: BannerKind::Fault, text: words }
    }
}
