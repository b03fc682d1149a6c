//! The writing half of a socket.

use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::SinkExt;
use futures_util::stream::SplitSink;
use holler_core::log::Resume;
use holler_core::session::{Dropped, Next};
use holler_core::units::{Cursor, RoomId, Seq};
use holler_core::wire::limits::{PAGE_EVENTS_MAX, STALLED_READER_MAX};
use holler_core::wire::socket::{CloseCode, ServerMessage};
use tokio::time::timeout;

use super::{Frame, Outgoing, encode};
use crate::app::App;
use crate::storage::StoreError;

/// Events that a page for a client that is behind holds at most: a slow link should not wait long for one message.
const PAGE_EVENTS: u32 = if PAGE_EVENTS_MAX < 100 { PAGE_EVENTS_MAX } else { 100 };

/// How the writing half ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// A close frame was sent.
    Closed(CloseCode),
    /// The socket failed, or its reader took nothing for too long.
    Lost,
}

/// Sends until the session ends.
pub(super) async fn run(app: App, out: Arc<Outgoing>, mut sink: SplitSink<WebSocket, Message>) -> Ended {
    let ended = loop {
        match send_some(&app, &out, &mut sink).await {
            Ok(Sent::More) => {}
            Ok(Sent::Nothing) => match patiently(|cx| sink.poll_flush_unpin(cx)).await {
                Some(Ok(())) => out.woken().await,
                Some(Err(_)) | None => break Ended::Lost,
            },
            Ok(Sent::Close(code)) => {
                let frame = CloseFrame { code: code.number(), reason: code.reason().into() };
                let closing = async {
                    sink.send(Message::Close(Some(frame))).await?;
                    sink.close().await
                };
                let _sent = timeout(STALLED_READER_MAX, closing).await;
                break Ended::Closed(code);
            }
            Err(Lost) => break Ended::Lost,
        }
    };
    out.end();
    if let Ended::Closed(code) = ended {
        metrics::counter!("holler_sockets_closed_total", "code" => code.number().to_string()).increment(1);
    }
    ended
}

struct Lost;

enum Sent {
    More,
    Nothing,
    Close(CloseCode),
}

async fn send_some(app: &App, out: &Outgoing, sink: &mut SplitSink<WebSocket, Message>) -> Result<Sent, Lost> {
    let (next, dropped) = out.try_next();
    count(dropped);
    let message = match next {
        Next::Item(Frame::Text(text)) => Message::Text(text),
        Next::Item(Frame::Binary(bytes)) => Message::Binary(bytes),
        Next::Fetch { room, after } => {
            // A page is for a client that has nothing newer to hear: what waits in the sink goes first.
            let Some(Ok(())) = patiently(|cx| sink.poll_flush_unpin(cx)).await else { return Err(Lost) };
            // Boxed, so that a task which waits has no room for it.
            return match Box::pin(fetch(app, out, room, after)).await {
                Ok(messages) => {
                    for message in messages {
                        feed(sink, message).await?;
                    }
                    Ok(Sent::More)
                }
                Err(error) => {
                    tracing::warn!(%room, %error, "a page of the log could not be read");
                    out.fetch_failed(room);
                    Ok(Sent::Close(CloseCode::Internal))
                }
            };
        }
        Next::Close(code) => return Ok(Sent::Close(code)),
        Next::Idle => return Ok(Sent::Nothing),
    };
    feed(sink, message).await?;
    Ok(Sent::More)
}

async fn feed(sink: &mut SplitSink<WebSocket, Message>, message: Message) -> Result<(), Lost> {
    match patiently(|cx| sink.poll_ready_unpin(cx)).await {
        Some(Ok(())) => sink.start_send_unpin(message).map_err(|_| Lost),
        Some(Err(_)) => Err(Lost),
        None => {
            let code = CloseCode::StalledReader.number().to_string();
            metrics::counter!("holler_sockets_closed_total", "code" => code).increment(1);
            Err(Lost)
        }
    }
}

/// Waits for the socket to take something; `None`: for too long. Nearly always it takes it at once, and then no timer is made.
async fn patiently<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T> + Unpin) -> Option<T> {
    match std::future::poll_fn(|cx| Poll::Ready(poll(cx))).await {
        Poll::Ready(done) => Some(done),
        // Boxed, so that a task which has nothing to wait for has no room for it.
        Poll::Pending => Box::pin(timeout(STALLED_READER_MAX, std::future::poll_fn(poll))).await.ok(),
    }
}

/// The events after `after`, as messages, and what the outbox must know of them.
async fn fetch(app: &App, out: &Outgoing, room: RoomId, after: Cursor) -> Result<Vec<Message>, StoreError> {
    let found = app.store.resume(room, after, PAGE_EVENTS).await?;
    let (log, resume, events) = found.ok_or_else(|| StoreError::NoKey(room.to_string()))?;
    let mut messages = Vec::new();
    let from = match resume {
        Resume::After(seq) => seq,
        Resume::Gap => {
            let gap = ServerMessage::HistoryGap { room, incarnation: log.incarnation, first_seq: log.first_seq };
            messages.push(Message::Text(encode(&gap)));
            Seq(log.first_seq.0.saturating_sub(1))
        }
    };
    let sent = events.last().map_or(from, |event| event.seq);
    if events.is_empty() && from < log.head {
        return Err(StoreError::Damaged(format!(
            "the log of {room} has no events after {from}, but a head of {}",
            log.head
        )));
    }
    if !events.is_empty() {
        let page = ServerMessage::Events { room, incarnation: log.incarnation, events };
        messages.push(Message::Text(encode(&page)));
    }
    out.fetched(room, after, log.incarnation, sent, log.head);
    Ok(messages)
}

fn count(dropped: Dropped) {
    let kinds = [
        ("voice-surplus", dropped.voice_surplus),
        ("voice-stale", dropped.voice_stale),
        ("state-coalesced", dropped.coalesced),
        ("events-left-in-log", dropped.fell_behind),
    ];
    for (kind, number) in kinds {
        if number > 0 {
            metrics::counter!("holler_outbox_dropped_total", "what" => kind).increment(number);
        }
    }
}
