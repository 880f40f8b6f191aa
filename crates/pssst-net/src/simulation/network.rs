//! A network that loses, doubles, delays, reorders, corrupts, forges and replays, in virtual time.
//!
//! The client and the server that run on it are the real ones, down to where they would call the
//! system. All randomness is derived from one seed.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rand::rngs::ChaCha20Rng;
use rand::{RngExt, SeedableRng};

use crate::client::network::{BoxFuture, ClientSocket, Network};
use crate::server::ServerSocket;
use crate::udp::{ReceiveBatch, SendBatch};

/// Faults of the network; shares are between 0 and 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct LinkConditions {
    pub(super) loss: f64,
    pub(super) duplication: f64,
    pub(super) corruption: f64,
    /// For each reply, so often a reply to some earlier request is delivered as well.
    pub(super) replay: f64,
    /// For each reply, so often a forged one, with its exchange value and other contents, overtakes
    /// it.
    pub(super) forgery: f64,
    /// Each packet takes its own time between these, so packets overtake each other.
    pub(super) delay: [Duration; 2],
}

impl LinkConditions {
    pub(super) const FAIR: Self = Self {
        loss: 0.0,
        duplication: 0.0,
        corruption: 0.0,
        replay: 0.0,
        forgery: 0.0,
        delay: [Duration::from_millis(5), Duration::from_millis(10)],
    };
}

/// The network, and the address under which clients know the servers behind its balancer.
#[derive(Clone)]
pub(super) struct Net(Arc<Mutex<State>>);

pub(super) const SERVICE: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 1);

struct State {
    random: ChaCha20Rng,
    conditions: LinkConditions,
    is_partitioned: bool,
    /// Servers behind the balancer. Each packet for the service goes to one of them at random.
    servers: Vec<SocketAddr>,
    inboxes: HashMap<SocketAddr, Inbox>,
    next_port: u16,
    /// Recent replies, to be replayed.
    replies: VecDeque<Vec<u8>>,
    traffic: Traffic,
}

/// How many packets met which fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    pub(super) sent: u64,
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    pub(super) corrupted: u64,
    pub(super) replayed: u64,
    pub(super) forged: u64,
}

#[derive(Default)]
struct Inbox {
    packets: VecDeque<(SocketAddr, Vec<u8>)>,
    waker: Option<Waker>,
}

impl Net {
    pub(super) fn new(seed: u64, conditions: LinkConditions) -> Self {
        Self(Arc::new(Mutex::new(State {
            random: ChaCha20Rng::seed_from_u64(seed),
            conditions,
            is_partitioned: false,
            servers: Vec::new(),
            inboxes: HashMap::new(),
            next_port: 1,
            replies: VecDeque::new(),
            traffic: Traffic::default(),
        })))
    }

    pub(super) fn set_partitioned(&self, is_partitioned: bool) {
        self.state().is_partitioned = is_partitioned;
    }

    pub(super) fn traffic(&self) -> Traffic {
        self.state().traffic
    }

    /// Sockets that are open.
    pub(super) fn sockets(&self) -> usize {
        self.state().inboxes.len()
    }

    /// Returns a place behind the balancer. Packets for it are lost when it is dropped, and while
    /// it is not there.
    pub(super) fn server(&self, number: u16) -> SimulatedServer {
        let address = SocketAddr::new(SERVICE.ip(), 1000 + number);
        let mut state = self.state();
        state.servers.push(address);
        state.inboxes.insert(address, Inbox::default());
        SimulatedServer(self.open(address))
    }

    fn open(&self, address: SocketAddr) -> Socket {
        Socket { net: self.clone(), address }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn send(&self, from: SocketAddr, to: SocketAddr, packet: &[u8]) {
        let state = &mut *self.state();
        state.traffic.sent += 1;
        let conditions = state.conditions;
        if to != SERVICE {
            // On the way to a client: packets that an attacker adds have the source address that
            // the client expects.
            if state.random.random_bool(conditions.forgery) {
                let mut forged = packet.to_vec();
                let body = &mut forged[36..];
                state.random.fill(body);
                state.traffic.forged += 1;
                self.deliver_after(conditions.delay[0] / 2, from, to, forged);
            }
            if state.random.random_bool(conditions.replay) && !state.replies.is_empty() {
                let which = state.random.random_range(..state.replies.len());
                let replayed = state.replies[which].clone();
                state.traffic.replayed += 1;
                self.deliver_after(conditions.delay[0] / 2, from, to, replayed);
            }
            state.replies.push_back(packet.to_vec());
            if state.replies.len() > 100 {
                state.replies.pop_front();
            }
        }
        let copies = 1 + u64::from(state.random.random_bool(conditions.duplication));
        state.traffic.duplicated += copies - 1;
        for _ in 0..copies {
            if state.is_partitioned || state.random.random_bool(conditions.loss) {
                state.traffic.lost += 1;
                continue;
            }
            let mut packet = packet.to_vec();
            if state.random.random_bool(conditions.corruption) && !packet.is_empty() {
                let bit = state.random.random_range(..packet.len() * 8);
                packet[bit / 8] ^= 1 << (bit % 8);
                state.traffic.corrupted += 1;
            }
            let delay = state.random.random_range(conditions.delay[0]..=conditions.delay[1]);
            let server = match state.servers.len() {
                0 => None,
                servers => Some(state.random.random_range(..servers)),
            };
            let to = if to == SERVICE { server.map(|server| state.servers[server]) } else { Some(to) };
            if let Some(to) = to {
                self.deliver_after(delay, from, to, packet);
            }
        }
    }

    fn deliver_after(&self, delay: Duration, from: SocketAddr, to: SocketAddr, packet: Vec<u8>) {
        let net = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            let mut state = net.state();
            if let Some(inbox) = state.inboxes.get_mut(&to) {
                inbox.packets.push_back((from, packet));
                if let Some(waker) = inbox.waker.take() {
                    waker.wake();
                }
            }
        });
    }
}

/// An open socket; closed when dropped.
struct Socket {
    net: Net,
    address: SocketAddr,
}

impl Socket {
    fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<(SocketAddr, Vec<u8>)> {
        let mut state = self.net.state();
        let inbox = state.inboxes.get_mut(&self.address).expect("open");
        if let Some(packet) = inbox.packets.pop_front() {
            return Poll::Ready(packet);
        }
        inbox.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let mut state = self.net.state();
        state.inboxes.remove(&self.address);
        state.servers.retain(|server| *server != self.address);
    }
}

/// Socket of a worker.
pub(super) struct SimulatedServer(Socket);

impl ServerSocket for SimulatedServer {
    async fn receive(&self, batch: &mut ReceiveBatch) -> io::Result<()> {
        batch.clear();
        let (peer, packet) = std::future::poll_fn(|cx| self.0.poll_receive(cx)).await;
        batch.put(peer, &packet);
        while !batch.is_full()
            && let Poll::Ready((peer, packet)) = self.0.poll_receive(&mut Context::from_waker(Waker::noop()))
        {
            batch.put(peer, &packet);
        }
        Ok(())
    }

    fn try_receive(&self, batch: &mut ReceiveBatch) -> io::Result<()> {
        batch.clear();
        let mut cx = Context::from_waker(Waker::noop());
        while !batch.is_full()
            && let Poll::Ready((peer, packet)) = self.0.poll_receive(&mut cx)
        {
            batch.put(peer, &packet);
        }
        if batch.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    }

    async fn send<T>(&mut self, batch: &mut SendBatch<T>, mut each: impl FnMut(T, io::Result<()>)) {
        batch.drain(|to, packet, context| {
            self.0.net.send(SERVICE, to, packet);
            each(context, Ok(()));
        });
    }
}

/// Socket of a client: takes packets from the service only, as a connected socket does.
struct SimulatedClient(Socket);

impl ClientSocket for SimulatedClient {
    fn path_mtu(&self) -> Option<usize> {
        None
    }

    fn local_ip(&self) -> Option<IpAddr> {
        Some(self.0.address.ip())
    }

    fn recv<'a>(&'a self, buffer: &'a mut [u8]) -> BoxFuture<'a, io::Result<usize>> {
        Box::pin(async {
            let (from, packet) = std::future::poll_fn(|cx| self.0.poll_receive(cx)).await;
            assert_eq!(from, SERVICE);
            buffer[..packet.len()].copy_from_slice(&packet);
            Ok(packet.len())
        })
    }

    fn send<'a>(&'a self, packet: &'a [u8]) -> BoxFuture<'a, io::Result<()>> {
        self.0.net.send(self.0.address, SERVICE, packet);
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Network for Net {
    fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(std::future::ready(Ok(vec![SERVICE])))
    }

    fn connect(&self, _: SocketAddr) -> io::Result<Box<dyn ClientSocket>> {
        let mut state = self.state();
        state.next_port += 1;
        let address = SocketAddr::new([198, 51, 100, 1].into(), state.next_port);
        state.inboxes.insert(address, Inbox::default());
        Ok(Box::new(SimulatedClient(self.open(address))))
    }

    fn fraction(&self) -> f64 {
        self.state().random.random()
    }
}
