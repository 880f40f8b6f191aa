//! Retransmission of one request, as pure decisions: when to send again, and along which path.
//!
//! There is no clock, socket or task here. The caller reports what happened as an [`Event`],
//! carries out the [`Action`] that comes back, and reports the next event. The reply itself is not
//! among the events: it ends the transaction from outside.

use std::net::SocketAddr;
use std::time::Duration;

/// A path that a request can be sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PathView {
    /// Paths of a client are numbered as they are opened.
    pub(super) number: u64,
    pub(super) address: SocketAddr,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The request starts on this path.
    Start {
        path: PathView,
        /// An earlier request got no reply on it.
        is_suspect: bool,
    },
    /// The path of the action is open.
    Opened(PathView),
    /// The path cannot be opened.
    NotOpened,
    /// The system accepted the datagram.
    Sent {
        /// Valid replies received on the path before it was sent.
        replies: u64,
    },
    /// The system refused the datagram.
    SendFailed,
    /// The network reports an error on the last path, for instance that the port is closed. It may
    /// be wrong or forged.
    NetworkError,
    /// The timer of [`Timer::Start`] has fired.
    TimedOut {
        /// Valid replies received on the last path.
        replies: u64,
        /// Whether only one address of the server is known.
        has_one_address: bool,
    },
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Send the request along the last path that was opened.
    Send {
        /// Resolve the server's name again in the background.
        resolves: bool,
    },
    /// Open a path from a fresh port.
    OpenNew {
        /// A path with a higher number than this will do.
        newest: u64,
        from: SocketAddr,
        /// To `from` again instead of the next address.
        keeps_address: bool,
        /// Resolve the server's name again in the background.
        resolves: bool,
    },
    /// Open a path to an untried address.
    FailOver { from: SocketAddr, tried: Vec<SocketAddr> },
    /// Wait for the timer, and for errors of the network if these matter.
    Wait { timer: Timer, hears_network: bool },
}

/// Change of the retransmission timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// Start it with this duration.
    Start(Duration),
    /// Leave it running.
    Keep,
    /// Stop it: there are no more retransmissions.
    Stop,
}

/// The state of one request.
pub(super) struct Transaction<P> {
    /// The pauses before each retransmission.
    pauses: P,
    retransmits: u32,
    path: PathView,
    /// The highest number of the paths that it was sent on.
    newest: u64,
    /// Valid replies that had come along the last path when the request was last sent.
    replies_before: u64,
    /// Addresses that the system refused to send to, in this attempt.
    unsendable: Vec<SocketAddr>,
    /// Addresses that the network reported an error for, since the timer was started.
    unreachable: Vec<SocketAddr>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// A path from a fresh port is being opened.
    Opening,
    /// The request is being sent, or a path to an address that can be sent to is looked for.
    Sending { timer_runs: bool },
    /// After an error of the network, another address is looked for.
    FailingOver,
    /// For the timer, and for the network.
    Waiting,
}

impl<P: Iterator<Item = Duration>> Transaction<P> {
    /// Returns a request that is not sent yet, with the pauses before each retransmission.
    pub(super) fn new(pauses: P, path: PathView) -> Self {
        Self {
            pauses,
            retransmits: 0,
            path,
            newest: path.number,
            replies_before: 0,
            unsendable: Vec::new(),
            unreachable: Vec::new(),
            phase: Phase::Opening,
        }
    }

    /// Decides what to do after an event. An event that does not fit the last action changes
    /// nothing: wait on.
    pub(super) fn next(&mut self, event: Event) -> Action {
        match (event, self.phase) {
            (Event::Start { path, is_suspect }, _) => {
                self.take(path);
                if is_suspect { self.open_new(false, false) } else { self.send(false) }
            }
            (Event::Opened(path), Phase::Opening) => {
                self.take(path);
                self.send(false)
            }
            (Event::NotOpened, Phase::Opening) => self.send(false),
            (Event::Opened(path), Phase::Sending { .. }) => {
                self.take(path);
                Action::Send { resolves: false }
            }
            (Event::Sent { replies }, Phase::Sending { timer_runs }) => {
                self.replies_before = replies;
                self.wait(timer_runs)
            }
            (Event::NotOpened, Phase::Sending { timer_runs }) => self.wait(timer_runs),
            (Event::SendFailed, Phase::Sending { .. }) => {
                self.unsendable.push(self.path.address);
                Action::FailOver { from: self.path.address, tried: self.unsendable.clone() }
            }
            (Event::NetworkError, Phase::Waiting) => {
                self.phase = Phase::FailingOver;
                self.unreachable.push(self.path.address);
                Action::FailOver { from: self.path.address, tried: self.unreachable.clone() }
            }
            (Event::Opened(path), Phase::FailingOver) => {
                self.take(path);
                self.unsendable.clear();
                self.phase = Phase::Sending { timer_runs: true };
                Action::Send { resolves: false }
            }
            // All addresses were tried: what the network says changes nothing until the next
            // retransmission.
            (Event::NotOpened, Phase::FailingOver) => {
                self.phase = Phase::Waiting;
                Action::Wait { timer: Timer::Keep, hears_network: false }
            }
            (Event::TimedOut { replies, has_one_address }, Phase::Waiting) => self.retransmit(replies, has_one_address),
            (_, Phase::Opening | Phase::Sending { .. } | Phase::FailingOver | Phase::Waiting) => {
                Action::Wait { timer: Timer::Keep, hears_network: true }
            }
        }
    }

    /// The first retransmission takes the same path if that is known to work, or is the only one.
    /// Later ones are sent from a fresh port, because a NAT or balancer may keep the old one
    /// assigned to a dead server.
    fn retransmit(&mut self, replies: u64, has_one_address: bool) -> Action {
        self.retransmits = self.retransmits.saturating_add(1);
        // A server that answers others is not left; it may just have nothing to say to this
        // request.
        let is_heard = replies > self.replies_before;
        let stays = self.retransmits == 1 && (replies > 0 || has_one_address);
        if stays { self.send(!is_heard) } else { self.open_new(is_heard, !is_heard) }
    }

    fn take(&mut self, path: PathView) {
        self.newest = self.newest.max(path.number);
        self.path = path;
    }

    fn open_new(&mut self, keeps_address: bool, resolves: bool) -> Action {
        self.phase = Phase::Opening;
        Action::OpenNew { newest: self.newest, from: self.path.address, keeps_address, resolves }
    }

    fn send(&mut self, resolves: bool) -> Action {
        self.unsendable.clear();
        self.phase = Phase::Sending { timer_runs: false };
        Action::Send { resolves }
    }

    fn wait(&mut self, timer_runs: bool) -> Action {
        self.phase = Phase::Waiting;
        let timer = if timer_runs {
            Timer::Keep
        } else {
            self.unreachable.clear();
            self.pauses.next().map_or(Timer::Stop, Timer::Start)
        };
        Action::Wait { timer, hears_network: true }
    }
}

#[cfg(test)]
mod tests;
