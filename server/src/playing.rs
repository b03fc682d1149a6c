//! Which of each person's devices plays live voice aloud, as far as they are connected to this server.
//!
//! It puts [`holler_core::playing`] to work: sockets that say they play aloud go in, and each is told which of its person's devices does.
//! Signs of life are read from the [`Connection`] when they matter. What other servers know is not asked for: there a device plays too,
//! which is heard, where silence would not be.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holler_core::playing::{Input, Playing};
use holler_core::session::Coalesce;
use holler_core::units::{Mono, UserId};
use holler_core::wire::socket::ServerMessage;
use tokio::sync::Notify;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::clock::Clock;
use crate::gateway::{Connection, encode};

/// Who plays.
#[derive(Debug)]
pub struct Players {
    inner: Mutex<Inner>,
    wake: Notify,
    clock: Clock,
}

#[derive(Debug, Default)]
struct Inner {
    machine: Playing,
    sockets: HashMap<u64, Arc<Connection>>,
}

impl Players {
    /// Nobody plays yet.
    pub fn new(clock: Clock) -> Self {
        Self { inner: Mutex::default(), wake: Notify::new(), clock }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A device says that it plays aloud, and how long ago it was used.
    pub fn here(&self, connection: &Arc<Connection>, used_ago: Duration) {
        let mut inner = self.inner();
        inner.sockets.insert(connection.id, Arc::clone(connection));
        let (user, device, lease) = (connection.user, connection.device, connection.lease());
        let here = Input::Here { user, device, connection: connection.id, used_ago, lease };
        inner.handle(self.clock.now(), Some(user), here);
        drop(inner);
        self.wake.notify_one();
    }

    /// A device plays no longer aloud, or its socket ended.
    pub fn gone(&self, connection: &Connection) {
        let mut inner = self.inner();
        if inner.sockets.contains_key(&connection.id) {
            let gone = Input::Gone { user: connection.user, connection: connection.id };
            inner.handle(self.clock.now(), Some(connection.user), gone);
            inner.sockets.remove(&connection.id);
        }
    }

    /// Does what is due. Gives when to call it again at the latest.
    pub fn flush(&self) -> Option<Mono> {
        let mut inner = self.inner();
        inner.handle(self.clock.now(), None, Input::Timeout);
        inner.machine.poll_timeout()
    }
}

impl Inner {
    /// Hands an input in, after the last signs of life of those whom it is about, and tells what came of it.
    fn handle(&mut self, now: Mono, user: Option<UserId>, input: Input) {
        for (user, id) in self.machine.asks(now, user) {
            if let Some(connection) = self.sockets.get(&id) {
                let (at, lease) = (connection.heard(), connection.lease());
                self.machine.handle(now, Input::Heard { user, connection: id, at, lease });
            }
        }
        self.machine.handle(now, input);
        while let Some(tell) = self.machine.poll_output() {
            if let Some(connection) = self.sockets.get(&tell.connection) {
                let last_sign_ms = tell.last_sign.map(|ago| u64::try_from(ago.as_millis()).unwrap_or(u64::MAX));
                let message = ServerMessage::Playing { device: tell.device, among: tell.among, last_sign_ms };
                connection.out.control(encode(&message), Some(Coalesce::Playing));
            }
        }
    }
}

/// Runs until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    let mut due = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = app.players.wake.notified() => {}
            () = async {
                match due {
                    Some(at) => sleep_until(app.clock.instant(at)).await,
                    None => std::future::pending().await,
                }
            } => {}
        }
        due = app.players.flush();
    }
}
