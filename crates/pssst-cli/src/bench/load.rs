//! Sets the lanes up and lets them run.

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::rc::Rc;
use std::sync::mpsc::Receiver;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use pssst::rand_core::TryRng;
use pssst::{BATCH_LEN, SysRng};
use pssst_net::udp::{BatchSocket, MAX_DATAGRAM, ReceiveBatch, SendBatch, connect};
use socket2::{Domain, Protocol, Socket, Type};

use super::args::{Args, Plan};
use super::clock::{Alarm, Clock, moment};
use super::lane::{Junk, Lane};
use super::pool::{Mix, Pool};
use super::schedule::Schedule;
use super::supply::Supply;
use super::tally::{Outcome, Tally};
use super::watch;
use pssst_service::Failure;

use crate::args::no_randomness;

/// Prepares requests, lets the load run, and waits for the last replies.
pub(super) fn run(
    args: &Args,
    plan: &Plan,
    mix: &Mix,
    server: SocketAddr,
    renewals: Vec<Receiver<Pool>>,
) -> Result<Outcome, Failure> {
    let pools = (0..plan.lanes)
        .map(|lane| Pool::seal(mix, share(plan.prepared, lane, plan.lanes)).map_err(no_randomness))
        .collect::<Result<Vec<_>, _>>()?;
    let noise = noise(args, plan)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(no_sockets)?;
    let _context = runtime.enter();
    let sockets = (0..plan.lanes).map(|_| bind(server)).collect::<io::Result<Vec<_>>>().map_err(no_sockets)?;

    let begin = moment(args.warmup);
    let end = begin.saturating_add(moment(args.duration));
    // A request leaves in time or not at all, and its reply comes in time or not at all; both may be looked at late.
    let longest = moment(args.timeout).saturating_mul(4);
    let tally =
        Tally::new(begin..end, longest).map_err(|error| Failure::new(error.to_string(), "please report this"))?;
    let tally = RefCell::new(tally);
    let mut renewals = renewals.into_iter();
    let clock = Clock::start();
    let lanes = (0..plan.lanes).zip(pools.into_iter().zip(sockets)).map(|(lane, (pool, socket))| {
        Ok(Lane {
            server,
            socket,
            supply: Supply::new(pool, renewals.next()),
            concurrency: share(plan.concurrency, lane, plan.lanes).len(),
            schedule: args.rate.map(|rate| Schedule::new(rate, lane, plan.lanes, end)),
            junk: Junk::new(Rc::clone(&noise), share(JUNK_PACKETS, lane, plan.lanes).start, plan.junk_per_request),
            clock,
            alarm: Alarm::new(clock, args.rate.map(f64::recip))?,
            timeout: moment(args.timeout),
            end,
            incoming: ReceiveBatch::new(BATCH_LEN, MAX_DATAGRAM),
            outgoing: SendBatch::new(),
        })
    });
    let lanes = lanes.collect::<io::Result<Vec<_>>>().map_err(no_sockets)?;

    let load = async {
        let mut running: FuturesUnordered<_> = lanes.into_iter().map(|lane| lane.run(&tally)).collect();
        while running.next().await.is_some() {}
    };
    let ((), cpu_share) = runtime.block_on(async { tokio::join!(load, watch::watch(clock, begin..end, &tally)) });
    Ok(Outcome { server, tally: tally.into_inner(), cpu_share })
}

/// Bytes of receive buffer to ask for: what does not fit while the generator is busy would look like the server's loss.
const RECEIVE_BUFFER_LEN: usize = 4 << 20;
/// Different junk packets.
const JUNK_PACKETS: usize = 65_536;

/// What falls to a lane when `total` are shared evenly. More to share is less to none of them.
pub(super) fn share(total: usize, lane: u32, lanes: u32) -> Range<usize> {
    let [lane, lanes] = [lane, lanes].map(|number| usize::try_from(number).unwrap_or(usize::MAX));
    let first = |lane: usize| total / lanes * lane + lane.min(total % lanes);
    first(lane)..first(lane + 1)
}

/// A socket with the address that this machine reaches the server from, so that none has to be chosen for every packet.
fn bind(server: SocketAddr) -> io::Result<BatchSocket> {
    let mut local = connect(server)?.local_addr()?;
    local.set_port(0);
    let socket = Socket::new(Domain::for_address(server), Type::DGRAM, Some(Protocol::UDP))?;
    // As much of it as the system allows.
    drop(socket.set_recv_buffer_size(RECEIVE_BUFFER_LEN));
    socket.bind(&local.into())?;
    socket.set_nonblocking(true)?;
    BatchSocket::new(UdpSocket::from(socket))
}

/// What junk packets are cut from.
fn noise(args: &Args, plan: &Plan) -> Result<Rc<[u8]>, Failure> {
    let len = if plan.junk_per_request > 0.0 { JUNK_PACKETS + args.size + pssst::AUTHENTICATED_OVERHEAD } else { 0 };
    let mut noise = vec![0; len];
    SysRng.try_fill_bytes(&mut noise).map_err(|_| no_randomness(pssst::Error::RandomnessUnavailable))?;
    Ok(noise.into())
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn no_sockets(error: io::Error) -> Failure {
    Failure::new(
        format!("cannot open sockets: {error}"),
        "is there a route to the server? `ulimit -n` shows how many sockets a process may have; each takes two files here",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_even_adjacent_and_grow_with_the_total() {
        for lanes in 1..10 {
            for total in 0..40 {
                let shares: Vec<_> = (0..lanes).map(|lane| share(total, lane, lanes)).collect();
                assert_eq!(shares.iter().cloned().flatten().collect::<Vec<_>>(), (0..total).collect::<Vec<_>>());
                let lens = || shares.iter().map(ExactSizeIterator::len);
                assert!(lens().max().unwrap() - lens().min().unwrap() <= 1);
                let more = (0..lanes).map(|lane| share(total + 1, lane, lanes).len());
                assert!(more.zip(lens()).all(|(more, len)| more >= len));
            }
        }
    }
}
