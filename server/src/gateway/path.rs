//! What a socket says of its voice path.

use holler_core::model::Scope;
use holler_core::units::RequestId;
use holler_core::wire::datagram::PathKind;
use holler_core::wire::socket::ServerMessage;

use super::reader::Session;

impl Session {
    /// `voice.path`. A token that neither speaks nor listens is offered none.
    pub(super) fn voice_path(&self, request: RequestId, kinds: &[PathKind]) {
        let allowed = [Scope::Media, Scope::Floor].iter().any(|scope| self.principal.scopes.contains(scope));
        let offer = if allowed { self.app.voice.offer(&self.connection, kinds) } else { None };
        self.answer(&ServerMessage::VoicePath { request, offer });
    }

    /// `voice.path.stalled`
    pub(super) fn voice_path_stalled(&self) {
        if let Some(path) = self.connection.path() {
            metrics::counter!("holler_voice_path_stalled_total").increment(1);
            path.stalled(self.app.clock.now());
        }
    }
}
