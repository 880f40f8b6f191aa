//! Sets the connections up and lets them run.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::rc::Rc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use pssst::rand_core::TryRng;
use pssst::{BATCH_LEN, SysRng};
use pssst_net::udp::{BatchSocket, MAX_DATAGRAM, ReceiveBatch, SendBatch, connect};
use pssst_support::grouped;
use socket2::{Domain, Protocol, Socket, Type};

use crate::clock::{Clock, Timer, nanos};
use crate::connection::{Connection, Junk};
use crate::counters::{Counters, Outcome};
use crate::monitor::Monitor;
use crate::plan::{Error, Plan};
use crate::pool::{Pool, Workload};
use crate::progress;
use crate::request_source::RequestSource;
use crate::schedule::Schedule;

/// Prepares requests, lets the load run, and waits for the last replies.
///
/// `key_rotations` brings other requests to each connection, after a change of the server's key;
/// `monitor` gets lines of progress, and may end it early.
///
/// # Errors
/// When the system has no randomness or no sockets left, and when it is stopped too early.
pub fn run(
    plan: &Plan,
    workload: &Workload,
    server: SocketAddr,
    key_rotations: Vec<Receiver<Pool>>,
    monitor: Monitor<'_>,
) -> Result<Outcome, Error> {
    let pools = seal(plan, workload, monitor)?;
    let noise = noise(plan)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Sockets)?;
    let _context = runtime.enter();
    let sockets =
        (0..plan.connections).map(|_| bind(server)).collect::<io::Result<Vec<_>>>().map_err(Error::Sockets)?;

    let begin = nanos(plan.warmup);
    let end = begin.saturating_add(nanos(plan.duration));
    // A request leaves in time or not at all, and its reply comes in time or not at all; the loop
    // may notice both late.
    let longest = nanos(plan.timeout).saturating_mul(4);
    let counters = Counters::new(begin..end, longest).map_err(|error| Error::Histogram(error.to_string()))?;
    let counters = RefCell::new(counters);
    let mut key_rotations = key_rotations.into_iter();
    let last = Rc::new(Cell::new(end));
    let clock = Clock::start();
    let connections = (0..plan.connections).zip(pools.into_iter().zip(sockets)).map(|(connection, (pool, socket))| {
        Ok(Connection {
            server,
            socket,
            source: RequestSource::new(pool, key_rotations.next()),
            concurrency: share(plan.concurrency, connection, plan.connections).len(),
            schedule: plan.rate.map(|rate| Schedule::new(rate, connection, plan.connections, end)),
            junk: Junk::new(
                Rc::clone(&noise),
                share(JUNK_PACKETS, connection, plan.connections).start,
                plan.junk_per_request,
            ),
            clock,
            timer: Timer::new(clock, plan.rate.map(f64::recip))?,
            timeout: nanos(plan.timeout),
            end: Rc::clone(&last),
            incoming: ReceiveBatch::new(BATCH_LEN, MAX_DATAGRAM),
            outgoing: SendBatch::new(),
        })
    });
    let connections = connections.collect::<io::Result<Vec<_>>>().map_err(Error::Sockets)?;

    let load = async {
        let mut running: FuturesUnordered<_> =
            connections.into_iter().map(|connection| connection.run(&counters)).collect();
        while running.next().await.is_some() {}
    };
    let ((), cpu_share) =
        runtime.block_on(async { tokio::join!(load, progress::watch(clock, begin..end, &last, &counters, monitor)) });
    let measured = Duration::from_nanos(last.get().saturating_sub(begin));
    Ok(Outcome { server, counters: counters.into_inner(), measured, cpu_share })
}

/// Prepares the requests of all connections.
fn seal(plan: &Plan, workload: &Workload, monitor: Monitor<'_>) -> Result<Vec<Pool>, Error> {
    let mut shown = Instant::now();
    let mut goes_on = |sealed: usize| {
        if shown.elapsed() >= Duration::from_secs(1) {
            shown = Instant::now();
            let (all, percent) = (grouped(plan.prepared), 100 * sealed / plan.prepared.max(1));
            monitor.show(&format!("preparing {all} requests: {percent} %"));
        }
        !monitor.is_stopped()
    };
    let mut pools = Vec::new();
    for connection in 0..plan.connections {
        let numbers = share(plan.prepared, connection, plan.connections);
        let (pool, is_whole) = Pool::seal_while(workload, numbers, &mut goes_on).map_err(Error::Randomness)?;
        if !is_whole {
            monitor.show("");
            return Err(Error::Stopped);
        }
        pools.push(pool);
    }
    Ok(pools)
}

/// Size of the receive buffer to request, in bytes: what does not fit while the generator is busy
/// would look like the server's loss.
const RECEIVE_BUFFER_LEN: usize = 4 << 20;
/// Different junk packets.
const JUNK_PACKETS: usize = 65_536;

/// What falls to a connection when `total` are shared evenly. More to share is less to none of
/// them.
pub fn share(total: usize, connection: u32, connections: u32) -> Range<usize> {
    let [connection, connections] =
        [connection, connections].map(|number| usize::try_from(number).unwrap_or(usize::MAX));
    let first = |connection: usize| total / connections * connection + connection.min(total % connections);
    first(connection)..first(connection + 1)
}

/// Returns a socket with the address that this machine reaches the server from, so that none has to
/// be chosen for every packet.
fn bind(server: SocketAddr) -> io::Result<BatchSocket> {
    let mut local = connect(server)?.local_addr()?;
    local.set_port(0);
    let socket = Socket::new(Domain::for_address(server), Type::DGRAM, Some(Protocol::UDP))?;
    // The system may grant less.
    drop(socket.set_recv_buffer_size(RECEIVE_BUFFER_LEN));
    socket.bind(&local.into())?;
    socket.set_nonblocking(true)?;
    BatchSocket::new(UdpSocket::from(socket))
}

/// What junk packets are cut from.
fn noise(plan: &Plan) -> Result<Rc<[u8]>, Error> {
    let len =
        if plan.junk_per_request > 0.0 { JUNK_PACKETS + plan.size + plan.suite.request_overhead(true) } else { 0 };
    let mut noise = vec![0; len];
    SysRng.try_fill_bytes(&mut noise).map_err(|_| Error::Randomness(pssst::Error::RandomnessUnavailable))?;
    Ok(noise.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_even_adjacent_and_grow_with_the_total() {
        for connections in 1..10 {
            for total in 0..40 {
                let shares: Vec<_> = (0..connections).map(|connection| share(total, connection, connections)).collect();
                assert_eq!(shares.iter().cloned().flatten().collect::<Vec<_>>(), (0..total).collect::<Vec<_>>());
                let lens = || shares.iter().map(ExactSizeIterator::len);
                assert!(lens().max().unwrap() - lens().min().unwrap() <= 1);
                let more = (0..connections).map(|connection| share(total + 1, connection, connections).len());
                assert!(more.zip(lens()).all(|(more, len)| more >= len));
            }
        }
    }
}
