//! Listeners that hear by datagram: ours by sealed UDP, Mumble's by its own encryption.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use aws_lc_rs::cipher::{AES_128, EncryptingKey, UnboundCipherKey};
use bytes::Bytes;
use holler_core::path::{End, Path};
use holler_core::units::{Mono, RequestId};
use holler_core::wire::datagram::PathKind;
use holler_core::wire::sealed::{Opener, SealedBy, Sealer};
use holler_core::wire::socket::{ClientMessage, ServerMessage};
use rustix::net::SendFlags;
use tokio::net::UdpSocket;

use super::fleet::{Client, PATIENCE, Tally};
use super::voice::answer;

/// Bytes of the largest packet.
const PACKET: usize = 2_048;

/// A path of ours, and its socket.
pub(super) struct Ours {
    path: Path,
    sealer: Sealer,
    opener: Opener,
    socket: UdpSocket,
    origin: Instant,
    inner: Vec<u8>,
    packet: Vec<u8>,
    frames: Vec<holler_core::wire::voice::VoiceFrame>,
}

impl Ours {
    /// Asks for a path and waits until it carries.
    pub(super) async fn open(client: &mut Client, server: SocketAddr) -> Result<Self> {
        let ask = ClientMessage::VoicePath { request: RequestId(7), kinds: vec![PathKind::SealedUdp] };
        client.say(&ask).await?;
        let offer = answer(client, |message| {
            if let ServerMessage::VoicePath { offer, .. } = message { Some(offer.clone()) } else { None }
        });
        let offer = offer.await?.context("the server offers no path")?;
        let (session, secret) = offer.opened().context("an offer that can be read")?;
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        socket.connect((server.ip(), offer.port)).await?;
        let origin = Instant::now();
        let mut ours = Self {
            path: Path::new(Mono(1), End::Client),
            sealer: Sealer::new(session, &secret, SealedBy::Client)?,
            opener: Opener::new(session, &secret, SealedBy::Server)?,
            socket,
            origin,
            inner: Vec::new(),
            packet: Vec::new(),
            frames: Vec::new(),
        };
        while !ours.path.figures().up {
            ours.say()?;
            let waited = tokio::time::timeout(PATIENCE, ours.socket.readable()).await;
            waited.context("no datagram came")??;
            ours.hear()?;
        }
        // The server has its proof with this.
        ours.say()?;
        Ok(ours)
    }

    fn now(&self) -> Mono {
        Mono(1 + u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    fn say(&mut self) -> Result<()> {
        let now = self.now();
        self.inner.clear();
        while let Some(counter) = self.path.next(now, &mut self.inner) {
            self.packet.clear();
            self.sealer.seal(counter, &self.inner, &mut self.packet)?;
            rustix::net::send(&self.socket, &self.packet, SendFlags::empty())?;
            self.inner.clear();
        }
        Ok(())
    }

    /// Takes all that came. Gives how many frames were new.
    fn hear(&mut self) -> Result<u64> {
        let (now, mut buffer) = (self.now(), [0; PACKET]);
        while let Ok(length) = self.socket.try_recv(&mut buffer) {
            let (counter, inner) = self.opener.open(&mut buffer[..length])?;
            self.path.received(now, counter, &Bytes::copy_from_slice(inner), &mut self.frames)?;
        }
        let count = self.frames.len() as u64;
        self.frames.clear();
        Ok(count)
    }

    /// Hears for good, and counts into `tally`.
    pub(super) async fn listen(mut self, tally: Rc<Tally>) {
        let timer = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(timer);
        let mut set = None;
        loop {
            let due = self.path.poll_timeout().map(|at| at.since(Mono(1)));
            if due != set {
                set = due;
                timer.as_mut().reset((self.origin + due.unwrap_or(PATIENCE)).into());
            }
            let heard = tokio::select! {
                biased;
                readable = self.socket.readable() => readable.map_err(anyhow::Error::from).and_then(|()| self.hear()),
                () = timer.as_mut() => {
                    set = None;
                    let now = self.now();
                    self.path.timeout(now);
                    Ok(0)
                }
            };
            match heard.and_then(|count| self.say().map(|()| count)) {
                Ok(0) => {}
                Ok(count) => tally.add(count),
                Err(fault) => return tally.fail(fault),
            }
        }
    }
}

/// A client of Mumble's that gets its voice by UDP.
pub(super) struct Mumbles(UdpSocket);

impl Mumbles {
    /// Shows the server where it is: with one ping, which comes back. `crypt` is the CryptSetup that the server sent.
    pub(super) async fn open(crypt: &[u8], server: SocketAddr) -> Result<Self> {
        let (key, mut nonce) = crypt_setup(crypt)?;
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        socket.connect(server).await?;
        for byte in &mut nonce {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                break;
            }
        }
        // A ping (type 1) with a time stamp of one byte.
        let (sealed, tag) = ocb2(&key, nonce, &[0x20, 1])?;
        socket.send(&[&[nonce[0]], &tag[..3], &sealed[..]].concat()).await?;
        let mut buffer = [0; PACKET];
        let echo = tokio::time::timeout(PATIENCE, socket.recv(&mut buffer)).await;
        ensure!(echo.context("Mumble does not answer a ping over UDP")?? == 6, "an echo of the ping");
        Ok(Self(socket))
    }

    /// Hears for good, and counts into `tally`. What comes is not opened.
    pub(super) async fn listen(self, tally: Rc<Tally>) {
        let mut buffer = [0; PACKET];
        loop {
            if let Err(fault) = self.0.readable().await {
                return tally.fail(fault.into());
            }
            let mut count = 0;
            while self.0.try_recv(&mut buffer).is_ok() {
                count += 1;
            }
            tally.add(count);
        }
    }
}

/// Key and client's nonce of a CryptSetup (protocol buffers: three fields of 16 bytes).
fn crypt_setup(mut message: &[u8]) -> Result<([u8; 16], [u8; 16])> {
    let mut fields = [None; 3];
    while let [tag, 16, rest @ ..] = message {
        let (value, rest) = rest.split_at_checked(16).context("a CryptSetup that is cut short")?;
        let Some(slot) = fields.get_mut(usize::from(tag >> 3).wrapping_sub(1)) else { bail!("a field of CryptSetup") };
        *slot = Some(<[u8; 16]>::try_from(value)?);
        message = rest;
    }
    let [Some(key), Some(nonce), _] = fields else { bail!("a CryptSetup without key and nonce") };
    Ok((key, nonce))
}

/// AES-128 in OCB2 over one block at most, as Mumble has it.
fn ocb2(key: &[u8; 16], nonce: [u8; 16], plain: &[u8]) -> Result<(Vec<u8>, [u8; 16])> {
    ensure!(plain.len() <= 16, "one block");
    let cipher = |_| anyhow!("AES");
    let key = EncryptingKey::ecb(UnboundCipherKey::new(&AES_128, key).map_err(cipher)?).map_err(cipher)?;
    let block = |mut block: [u8; 16]| key.encrypt(&mut block).map(|_| block).map_err(cipher);
    let xor = |a: [u8; 16], b: [u8; 16]| core::array::from_fn::<u8, 16, _>(|at| a[at] ^ b[at]);
    let double = |of: [u8; 16]| {
        let number = u128::from_be_bytes(of);
        (number << 1 ^ if number >> 127 == 1 { 0x87 } else { 0 }).to_be_bytes()
    };
    let delta = double(block(nonce)?);
    let length = (plain.len() as u128 * 8).to_be_bytes();
    let pad = block(xor(delta, length))?;
    let mut padded = pad;
    padded[..plain.len()].copy_from_slice(plain);
    let sealed = xor(padded, pad)[..plain.len()].to_vec();
    let tag = block(xor(xor(delta, double(delta)), padded))?;
    Ok((sealed, tag))
}
