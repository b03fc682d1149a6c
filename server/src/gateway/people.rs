//! What a socket says and asks about people: presence and receipts.

use std::time::Duration;

use holler_core::model::{PresenceState, Scope};
use holler_core::units::{BurstId, Incarnation, RequestId, RoomId, Seq};
use holler_core::wire::problem::{Problem, ProblemKind};
use holler_core::wire::socket::ServerMessage;

use super::reader::{About, Sends, Session};
use crate::app::App;
use crate::storage::receipts::Receipt;

/// What a client says it got.
pub(super) struct Got {
    pub(super) incarnation: Incarnation,
    pub(super) delivered: Option<Seq>,
    pub(super) read: Option<Seq>,
    pub(super) heard: Vec<BurstId>,
}

impl Session {
    /// `presence.set`
    pub(super) fn set_presence(&self, state: PresenceState) {
        match self.principal.require(Scope::Presence) {
            Ok(()) => self.app.presence.set(&self.connection, state),
            Err(problem) => self.answer(&ServerMessage::Error { request: None, problem }),
        }
    }

    /// `playing.here`
    pub(super) fn plays_here(&self, used_ago: Duration) {
        match self.principal.require(Scope::Media) {
            Ok(()) => self.app.players.here(&self.connection, used_ago),
            Err(problem) => self.answer(&ServerMessage::Error { request: None, problem }),
        }
    }

    /// `presence.watch`
    pub(super) async fn watch(&self, request: RequestId, room: RoomId) {
        if let Err(problem) = self.try_watch(room).await {
            self.refuse(room, About::Request(request), problem);
        }
    }

    async fn try_watch(&self, room: RoomId) -> Result<(), Problem> {
        self.principal.require(Scope::Presence)?;
        self.member_after_a_look(room).await?;
        self.app.presence.watch(&self.connection, room, || self.app.auth.members_of(room));
        Ok(())
    }

    /// `receipt`
    pub(super) async fn receipt(&self, request: RequestId, room: RoomId, got: Got, sends: &mut Sends) {
        let allowed = match self.principal.require(Scope::Messages) {
            Ok(()) => self.member_after_a_look(room).await.map(drop),
            refused => refused,
        };
        if let Err(problem) = allowed {
            return self.refuse(room, About::Request(request), problem);
        }
        let Got { incarnation, delivered, read, heard } = got;
        let (user, at) = (self.connection.user, self.app.clock.unix());
        let receipt = Receipt { room, user, incarnation, delivered, read, heard, at };
        // A task of its own: it is also stored, and told to whom it is about, when it was the last thing that the socket said.
        let stored = tokio::spawn(store(self.app.clone(), request, receipt));
        sends.push_back(Box::pin(async move {
            stored.await.unwrap_or_else(|error| {
                tracing::error!(%error, "a receipt was not stored");
                About::Request(request)
                    .refused(room, Problem::new(ProblemKind::Internal, "the server failed; see its log"))
            })
        }));
    }
}

async fn store(app: App, request: RequestId, receipt: Receipt) -> ServerMessage {
    let room = receipt.room;
    match app.receipts.store(&app, receipt).await {
        Ok(()) => ServerMessage::ReceiptStored { request, room },
        Err(problem) => About::Request(request).refused(room, problem),
    }
}
