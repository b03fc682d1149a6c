//! `hollerd` as its operator meets it: how it starts, goes down and says what is wrong.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, also in its helpers")]

mod common;

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use common::{Hollerd, hollerd, tls};

#[test]
fn an_address_that_is_taken_fails_the_start_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = held.local_addr().unwrap().to_string();
    for (arguments, flag) in [
        (["serve", "--listen", "127.0.0.1:0", "--metrics", &taken], "--metrics"),
        (["serve", "--listen", &taken, "--metrics", "off"], "--listen"),
    ] {
        let refused = hollerd(dir.path()).args(arguments).output().unwrap();
        let error = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{error}");
        assert!(error.contains(&taken) && error.contains(flag) && error.contains("Another program"), "{error}");
        assert!(!String::from_utf8(refused.stdout).unwrap().contains("ready"));
    }
}

#[test]
fn a_second_signal_cuts_the_drain_short() {
    let dir = tempfile::tempdir().unwrap();
    let server = Hollerd::serve(dir.path());
    let address = server.url.trim_start_matches("https://").replace("localhost", "127.0.0.1");
    // A request that never ends: without a second signal the server waits for it for 10 s and then ends with 0.
    let tls = rustls::ClientConnection::new(Arc::new(tls(dir.path())), "localhost".try_into().unwrap()).unwrap();
    let mut stream = rustls::StreamOwned::new(tls, TcpStream::connect(&address).unwrap());
    stream.write_all(b"GET /healthz HTTP/1.1\r\n").unwrap();
    stream.flush().unwrap();
    server.terminate();
    // It is going down once it takes no more connections.
    while TcpStream::connect(&address).is_ok() {}
    server.terminate();
    let (code, log) = server.wait();
    assert_eq!(code, Some(3), "{log}");
    assert!(log.contains("told a second time"), "{log}");
}
