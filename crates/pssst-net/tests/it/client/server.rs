//! A server made by hand, on a thread of its own, for tests of the client.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use pssst_net::pssst::{PublicKey, SecretKey, Server, SysRng};

/// A packet, and where it came from.
pub(crate) type Datagram = (SocketAddr, Vec<u8>);

/// Serves until it is dropped.
pub(crate) struct TestServer {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Datagram>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Behaviour of a server for each datagram. It is also called when none has come for a while.
pub(crate) trait Behaviour: FnMut(&UdpSocket, Option<(SocketAddr, &[u8])>) + Send + 'static {}
impl<F: FnMut(&UdpSocket, Option<(SocketAddr, &[u8])>) + Send + 'static> Behaviour for F {}

impl TestServer {
    /// One that sends every message back.
    pub(crate) fn echo(address: &str) -> io::Result<Self> {
        Self::start(address, |socket, datagram| {
            if let Some((peer, packet)) = datagram {
                socket.send_to(&echo(packet), peer).unwrap();
            }
        })
    }

    pub(crate) fn start(address: &str, mut behaviour: impl Behaviour) -> io::Result<Self> {
        let socket = UdpSocket::bind(address)?;
        socket.set_read_timeout(Some(Duration::from_millis(5)))?;
        let address = socket.local_addr()?;
        let (seen, is_over) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicBool>::default());
        let thread = thread::spawn({
            let (seen, is_over) = (Arc::clone(&seen), Arc::clone(&is_over));
            move || {
                let mut buffer = vec![0; 65_535];
                while !is_over.load(Ordering::Relaxed) {
                    let Ok((length, peer)) = socket.recv_from(&mut buffer) else {
                        behaviour(&socket, None);
                        continue;
                    };
                    seen.lock().unwrap().push((peer, buffer[..length].to_vec()));
                    behaviour(&socket, Some((peer, &buffer[..length])));
                }
            }
        });
        Ok(Self { address, seen, is_over, thread: Some(thread) })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every datagram so far.
    pub(crate) fn seen(&self) -> Vec<Datagram> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let outcome = self.thread.take().unwrap().join();
        assert!(thread::panicking() || outcome.is_ok(), "the server panicked");
    }
}

fn secret() -> SecretKey {
    SecretKey::from_bytes([0x5e; 32])
}

/// The key of every [`TestServer`].
pub(crate) fn server_key() -> PublicKey {
    secret().public_key()
}

/// The reply that sends the message of a request back.
pub(crate) fn echo(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    let server = Server::new(secret());
    let request = server.open_request(&mut packet).unwrap();
    let message = request.message().to_vec();
    request.into_reply_sealer().seal_to_vec(&mut SysRng, &message).unwrap()
}
