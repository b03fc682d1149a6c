//! Watches the machine's network: a client that waits to try again should do so the moment an address or a way appears.
//!
//! On Linux the kernel tells of new addresses and routes through a netlink socket (RFC 3549, `rtnetlink(7)`). No privilege is
//! needed. Elsewhere, or where the socket is refused, nobody watches, and the waits of the engine decide alone.

use core::time::Duration;

/// News come in heaps: a network that appears brings several addresses and routes. One look a quarter of a second is enough.
const GATHER: Duration = Duration::from_millis(250);

/// Calls `changed` whenever an address or a route was added. Ends only where there is nothing to watch.
#[cfg(target_os = "linux")]
pub(crate) async fn network(changed: impl Fn()) {
    use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, netlink};
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    let open = || {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        // No protocol means number 0: `NETLINK_ROUTE`.
        let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        rustix::net::bind(&socket, &netlink::SocketAddrNetlink::new(0, GROUPS))?;
        #[expect(
            deprecated,
            reason = "its replacement is unsafe code; an owned descriptor stays open for as long as it is used"
        )]
        AsyncFd::with_interest(socket, Interest::READABLE)
    };
    let Ok(socket) = open() else { return };
    let mut buffer = vec![0; 32 * 1024];
    loop {
        let Ok(mut ready) = socket.readable().await else { return };
        let mut news = false;
        let drained = ready.try_io(|socket| {
            loop {
                match rustix::net::recv(socket, &mut buffer, RecvFlags::empty()) {
                    Ok((length, _)) => news |= tells_of_a_way(&buffer[..length.min(buffer.len())]),
                    // More came than the kernel kept: something changed.
                    Err(rustix::io::Errno::NOBUFS) => news = true,
                    Err(error) => return Err::<(), _>(error.into()),
                }
            }
        });
        // Everything that was there is read; any other error ends the watch.
        if drained.is_ok() {
            return;
        }
        if news {
            tokio::time::sleep(GATHER).await;
            changed();
        }
    }
}

/// Nobody watches here.
#[cfg(not(target_os = "linux"))]
pub(crate) async fn network(_: impl Fn()) {}

/// `RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE`
#[cfg(target_os = "linux")]
const GROUPS: u32 = 0x10 | 0x40 | 0x100 | 0x400;

/// Whether one of the messages in a datagram says that an address or a route was added.
fn tells_of_a_way(mut datagram: &[u8]) -> bool {
    const NEW_ADDRESS: u16 = 20;
    const NEW_ROUTE: u16 = 24;
    // struct nlmsghdr: length (4), type (2), flags (2), sequence (4), port (4), in the machine's byte order; aligned to 4.
    while let Some(header) = datagram.get(..16) {
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]);
        let kind = u16::from_ne_bytes([header[4], header[5]]);
        if matches!(kind, NEW_ADDRESS | NEW_ROUTE) {
            return true;
        }
        let step = usize::try_from(length).unwrap_or(usize::MAX).max(16).div_ceil(4).saturating_mul(4);
        datagram = datagram.get(step..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, length: u32) -> Vec<u8> {
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.resize(usize::try_from(length.max(16)).unwrap().div_ceil(4) * 4, 0);
        bytes
    }

    #[test]
    fn new_addresses_and_routes_are_told_from_the_rest() {
        assert!(tells_of_a_way(&message(20, 20)) && tells_of_a_way(&message(24, 60)));
        assert!(!tells_of_a_way(&message(21, 20)) && !tells_of_a_way(&message(16, 1_000)));
        assert!(tells_of_a_way(&[message(16, 33), message(24, 60)].concat()), "behind another one");
        // Lengths that lie end the reading, not the program.
        assert!(!tells_of_a_way(&message(16, 0)) && !tells_of_a_way(&[255; 40]) && !tells_of_a_way(&[]));
    }
}
