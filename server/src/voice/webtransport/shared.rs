//! One UDP port for QUIC and for what is not (RFC 9443): QUIC reads the socket, and what begins with another byte is handed on.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use wtransport::quinn::udp::{RecvMeta, Transmit};
use wtransport::quinn::{AsyncUdpSocket, Runtime as _, TokioRuntime, UdpPoller};

/// First byte of the packets that are not QUIC's.
pub(super) const OURS: u8 = 0x08;

/// What takes the packets that are ours: where each came from, to which address where that is known, and the packet.
type Ours = Box<dyn Fn((SocketAddr, Option<IpAddr>), &mut [u8]) + Send + Sync>;

/// A socket that QUIC reads, less the packets that are not its own.
pub(super) struct Shared {
    quic: Arc<dyn AsyncUdpSocket>,
    ours: Ours,
}

impl Shared {
    /// QUIC has `socket` from now on; `ours` is given each packet that begins with [`OURS`], where it lies.
    pub(super) fn open(
        socket: std::net::UdpSocket,
        ours: impl Fn((SocketAddr, Option<IpAddr>), &mut [u8]) + Send + Sync + 'static,
    ) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let quic = TokioRuntime.wrap_udp_socket(socket)?;
        Ok(Arc::new(Self { quic, ours: Box::new(ours) }))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("quic", &self.quic).finish_non_exhaustive()
    }
}

impl AsyncUdpSocket for Shared {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.quic).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.quic.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let came = self.quic.poll_recv(cx, bufs, meta);
        if let Poll::Ready(Ok(came)) = came {
            for (buf, meta) in bufs.iter_mut().zip(meta.iter_mut()).take(came) {
                // The kernel puts packets of one sender and one length into one buffer. Nobody sends both kinds from one port; QUIC drops
                // one of ours that lies behind its own.
                if buf.first() == Some(&OURS) {
                    let length = std::mem::take(&mut meta.len);
                    for packet in buf[..length].chunks_mut(meta.stride.max(1)) {
                        (self.ours)((meta.addr, meta.dst_ip), packet);
                    }
                }
            }
        }
        came
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.quic.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.quic.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.quic.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.quic.may_fragment()
    }
}
