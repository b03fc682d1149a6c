//! A link that can be cut: a TCP proxy in front of a real server, for real programs.
//!
//! Cut, it resets every connection through it and refuses new ones, as a network that is gone does once the system has noticed.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes passed on at once.
const CHUNK: usize = 16 * 1024;

#[derive(Default)]
struct State {
    cut: bool,
    ended: bool,
    open: Vec<TcpStream>,
}

/// A running proxy; dropped, it ends.
pub struct Proxy {
    port: u16,
    state: Arc<Mutex<State>>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    /// A proxy to the server at `to`, on a port of the loopback that the system chooses.
    pub fn start(to: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if lock(&shared).ended {
                    return;
                }
                // What fails here fails for the client as a broken connection does.
                let _ = pass(client, to, &shared);
            }
        });
        Ok(Self { port, state })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts every connection; new ones end at once.
    pub fn cut(&self) {
        let mut state = lock(&self.state);
        state.cut = true;
        for stream in state.open.drain(..) {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// The link holds again.
    pub fn mend(&self) {
        lock(&self.state).cut = false;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        lock(&self.state).ended = true;
        self.cut();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn pass(client: TcpStream, to: SocketAddr, state: &Mutex<State>) -> io::Result<()> {
    let mut shared = lock(state);
    if shared.cut {
        return client.shutdown(Shutdown::Both);
    }
    let server = TcpStream::connect(to)?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
        shared.open.push(stream.try_clone()?);
    }
    drop(shared);
    for (from, into) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
        std::thread::spawn(move || copy(from, into));
    }
    Ok(())
}

/// Passes on until one side ends, then ends the other.
fn copy(mut from: TcpStream, mut into: TcpStream) {
    let mut buffer = vec![0; CHUNK];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if into.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = into.shutdown(Shutdown::Both);
}
