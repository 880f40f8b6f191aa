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
    SendFailed {
        /// It is too long for the interface.
        is_too_long: bool,
    },
    /// The network reports an error on the last path, for instance that the port is closed. It may
    /// be wrong or forged.
    NetworkError {
        /// The datagram is too long for the path.
        is_too_long: bool,
    },
    /// The network reports that the datagram is too long, and a shorter one takes its place.
    Shortened,
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
    /// End the request: the datagram is too long for the path to every known address.
    GiveUp,
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

/// Reports in a row that the datagram is too long for the path, until it counts as true. One alone
/// may be late or forged, and must not end a request that the server answers.
const MAX_TOO_LONG_REPORTS: u32 = 2;

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
    /// Whether all of them refused it for its length.
    is_too_long_to_send: bool,
    /// Reports in a row that it is too long for the path.
    too_long_reports: u32,
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
            is_too_long_to_send: true,
            too_long_reports: 0,
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
            // Nothing was sent that a reply could come to.
            (Event::NotOpened, Phase::Sending { timer_runs: false }) if self.is_too_long_to_send => Action::GiveUp,
            (Event::NotOpened, Phase::Sending { timer_runs }) => self.wait(timer_runs),
            (Event::SendFailed { is_too_long }, Phase::Sending { .. }) => {
                self.is_too_long_to_send &= is_too_long;
                self.unsendable.push(self.path.address);
                Action::FailOver { from: self.path.address, tried: self.unsendable.clone() }
            }
            (Event::NetworkError { is_too_long }, Phase::Waiting) => {
                self.too_long_reports = if is_too_long { self.too_long_reports + 1 } else { 0 };
                self.phase = Phase::FailingOver;
                self.unreachable.push(self.path.address);
                Action::FailOver { from: self.path.address, tried: self.unreachable.clone() }
            }
            (Event::Shortened, Phase::Waiting) => self.send_again(),
            (Event::Opened(path), Phase::FailingOver) => {
                self.take(path);
                self.send_again()
            }
            (Event::NotOpened, Phase::FailingOver) if self.too_long_reports >= MAX_TOO_LONG_REPORTS => Action::GiveUp,
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
        self.begin_attempt(false);
        Action::Send { resolves }
    }

    /// Sends without waiting for the timer, which runs on.
    fn send_again(&mut self) -> Action {
        self.begin_attempt(true);
        Action::Send { resolves: false }
    }

    fn begin_attempt(&mut self, timer_runs: bool) {
        self.unsendable.clear();
        self.is_too_long_to_send = true;
        self.phase = Phase::Sending { timer_runs };
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
