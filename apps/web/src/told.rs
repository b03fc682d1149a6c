//! From the worker's and the page's words to the screens'.

use holler_client_web::message::{self, Missing, ToPage, Why};
use holler_client_web::page;
use holler_client_web::store::{Queued, QueuedItem};
use holler_core::engine::{Notice, TalkState};
use holler_core::units::BurstId;
use holler_ui::port::{self, Identity, Microphone, Storage, Told, Trial, Waits, WaitsWhat};
use holler_ui::words;

use crate::keep;

/// Whether this says that nothing of the burst is lost if the page is loaded anew now.
pub(crate) fn is_safe(message: &ToPage, spoken: BurstId) -> bool {
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others tell something else")]
    match message {
        ToPage::Notice(Notice::Talk { burst, state, .. }) => {
            *burst == spoken
                && matches!(
                    state,
                    TalkState::Delivered
                        | TalkState::Waiting
                        | TalkState::PutOff { .. }
                        | TalkState::Kept
                        | TalkState::Failed { .. }
                )
        }
        // The worker gave the store away, with all that it had.
        ToPage::Storage(message::Storage::Newer) => true,
        _ => false,
    }
}

/// `None`: the page deals with it.
pub(crate) fn told(message: ToPage) -> Option<Told> {
    Some(match message {
        // It is heard, not seen.
        ToPage::Leading(_) => return None,
        ToPage::Exported(lines) => {
            keep::save(&lines);
            return None;
        }
        // The shell has it already.
        ToPage::Push { .. } => return None,
        ToPage::Trying(trial) => Told::Trial(match trial {
            message::Trial::Recording => Trial::Recording,
            message::Trial::Playing => Trial::Playing,
            message::Trial::Over => Trial::Over,
        }),
        ToPage::Quality { spoken, heard, path } => Told::Quality { spoken, heard, path },
        ToPage::Devices(devices) => Told::Devices(devices),
        ToPage::SignedOut { reason, waits } => {
            let reason = reason.as_ref().map(words::link);
            Told::SignedOut { reason: if waits > 0 { Some(words::waits_here(reason, waits)) } else { reason } }
        }
        ToPage::SignedIn { user, device, login } => Told::SignedIn(Identity { user, device, login }),
        ToPage::SignInFailed(why) => Told::SignInFailed(said(&why)),
        ToPage::Offer(offer) => Told::Offer(offer.map_err(|why| said(&why))),
        ToPage::EntryFailed(why) => Told::EntryFailed(said(&why)),
        ToPage::Directory { workspace, rooms, people, invites_by } => {
            Told::Directory { workspace, rooms, people, invites_by }
        }
        ToPage::Members { room, joined, left, live } => Told::Members { room, joined, left, live },
        ToPage::Direct(room) => Told::Direct(room.map_err(|why| said(&why))),
        ToPage::Invited(made) => Told::Invited(made.map_err(|why| said(&why))),
        ToPage::Wave { burst, bars, frames } => Told::Wave { burst, bars, frames },
        ToPage::Position(ms) => Told::Position(ms),
        ToPage::Heard(burst) => Told::Heard(burst),
        ToPage::History { room, events } => Told::History { room, events },
        ToPage::Notice(notice) => Told::Notice(notice),
        ToPage::Level(level) => Told::Level(level),
        ToPage::Replaying(burst) => Told::Replaying(burst),
        ToPage::Missing(missing, why) => {
            let missing = match missing {
                Missing::Rooms => words::Missing::Rooms,
                Missing::Past => words::Missing::Past,
                Missing::Devices => words::Missing::Devices,
                Missing::Data => words::Missing::Data,
                Missing::Burst => words::Missing::Burst,
            };
            Told::Fault(words::missing(missing, said(&why)))
        }
        ToPage::Queue(queued) => Told::Queue(queued.into_iter().map(waits).collect()),
        ToPage::Storage(storage) => Told::Storage(match storage {
            message::Storage::Kept => Storage::Kept,
            message::Storage::Full => Storage::Full,
            message::Storage::Missing { detail } => Storage::Missing(detail),
            message::Storage::Newer => Storage::Newer,
        }),
        ToPage::Damaged(count) => Told::Fault(words::damaged(count)),
        ToPage::Fault { detail } => Told::Fault(detail),
    })
}

fn waits(queued: Queued) -> Waits {
    let what = match queued.item {
        QueuedItem::Text { client_id, text } => WaitsWhat::Text { client_id, text },
        QueuedItem::Burst { burst, length_ms, cut } => WaitsWhat::Burst { burst, length_ms, cut },
    };
    Waits { room: queued.room, held: queued.held, since: queued.since.0, what }
}

/// What a person wants of something that waits, in the worker's words.
pub(crate) fn waiting(waiting: port::Waiting) -> message::Waiting {
    match waiting {
        port::Waiting::Send(burst) => message::Waiting::Send(burst),
        port::Waiting::DropBurst(burst) => message::Waiting::DropBurst(burst),
        port::Waiting::DropText(text) => message::Waiting::DropText(text),
        port::Waiting::Play(burst) => message::Waiting::Play(burst),
    }
}

pub(crate) fn microphone(microphone: page::Microphone) -> Microphone {
    match microphone {
        page::Microphone::Off => Microphone::Off,
        page::Microphone::Asking => Microphone::Asking,
        page::Microphone::On => Microphone::On,
        page::Microphone::Failed(why) => Microphone::Failed(words::recording(&why)),
    }
}

/// Why something did not work, in the language that is spoken.
fn said(why: &Why) -> String {
    words::problem(&why.kind, &why.detail)
}
