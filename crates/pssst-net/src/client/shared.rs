//! The state that all clones of a client share, and the loop that executes the decisions of a
//! transaction.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::attempted_paths::AttemptedPaths;
use super::long_path::LongPath;
use super::network::Network;
use super::path::Path;
use super::path_selector::PathSelector;
use super::pending::{Pending, Registered};
use super::progress::Progress;
use super::sealed::SealedMessage;
use super::settings::{Sealer, Settings};
use super::stats::Counts;
use super::transaction::{Action, Event, Timer, Transaction};
use crate::time::after;
use crate::{Error, udp};

pub(super) struct Shared {
    /// The server's name and port.
    pub(super) server: String,
    pub(super) settings: Settings,
    /// Replaced as a whole with the server's key or the client's credentials.
    pub(super) sealer: ArcSwap<Sealer>,
    /// Held while the sealer is replaced by another one made of it.
    pub(super) replacing: Mutex<()>,
    pub(super) pending: Arc<Pending>,
    pub(super) counts: Arc<Counts>,
    pub(super) closed: CancellationToken,
    pub(super) long_path: LongPath,
    selector: PathSelector,
    places: Semaphore,
}

impl Shared {
    pub(super) async fn connect(
        mut settings: Settings,
        counts: Arc<Counts>,
        network: Arc<dyn Network>,
        server: &str,
    ) -> Result<Self, Error> {
        let credentials = settings.take_credentials()?;
        let sealer = settings.sealer(settings.server_key.clone(), settings.suite, credentials, settings.fallback)?;
        sealer.check_max_datagram(settings.max_datagram)?;
        if sealer.has_fallback() && !sealer.fits(settings.max_datagram) {
            tracing::warn!(
                max_datagram = settings.max_datagram,
                "suite 0xf003 does not fit: falling back to suite 0xf002 with the pre-shared key"
            );
        }
        let pending = Arc::<Pending>::default();
        let selector = PathSelector::open(network, server, settings.timeout, Arc::clone(&pending), Arc::clone(&counts));
        let selector = selector.await.map_err(Error::Network)?;
        Ok(Self {
            server: server.to_owned(),
            places: Semaphore::new(settings.max_in_flight),
            settings,
            sealer: ArcSwap::from_pointee(sealer),
            replacing: Mutex::default(),
            pending,
            counts,
            closed: CancellationToken::new(),
            long_path: LongPath::default(),
            selector,
        })
    }

    /// Sends a request until its reply is there. Never ends otherwise, unless it cannot begin, or
    /// no path carries its packet.
    pub(super) async fn exchange(&self, message: &[u8], progress: &Progress) -> Result<Bytes, Error> {
        let _place = self.places.acquire().await.map_err(|_| Error::Closed)?;
        let (registered, reply) = self.pending.register(progress.refused());
        let mut sealed = self.seal(message, Some(registered))?;
        let begins_short = sealed.is_short();
        self.counts.requests.add();
        let answer = tokio::select! {
            biased;
            answer = reply => answer.map_err(|_| Error::Closed)?,
            error = self.drive(&mut sealed, progress) => return Err(error),
        };
        if !begins_short && self.sealer.load().has_fallback() {
            self.long_path.replied(answer.suite);
        }
        Ok(answer.message)
    }

    /// Seals a message, in a short packet if the path is known not to carry long ones.
    fn seal<'s>(&'s self, message: &'s [u8], registered: Option<Registered<'s>>) -> Result<SealedMessage<'s>, Error> {
        let is_short = self.begins_short();
        let sealed = SealedMessage::new(&self.sealer, message, registered, is_short)?;
        if is_short {
            self.counts.fallbacks.add();
        }
        Ok(sealed)
    }

    fn begins_short(&self) -> bool {
        let sealer = self.sealer.load();
        sealer.has_fallback() && (self.long_path.is_narrow() || !sealer.fits(self.settings.max_datagram))
    }

    /// Goes over to short packets.
    fn shorten(&self, sealed: &mut SealedMessage<'_>) -> bool {
        let is_shortened = sealed.shorten().unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot fall back to suite 0xf002");
            false
        });
        if is_shortened {
            self.counts.fallbacks.add();
        }
        is_shortened
    }

    /// Executes the decisions of the transaction. The reply cancels it; it only returns when no
    /// path carries the packet.
    async fn drive(&self, sealed: &mut SealedMessage<'_>, progress: &Progress) -> Error {
        let mut paths = AttemptedPaths::new(self.selector.current());
        let path = paths.last();
        let mut event = Event::Start { path: path.view(), is_suspect: path.is_suspect() };
        let pauses = self.settings.retry.pauses(self.selector.fraction());
        let mut transaction = Transaction::new(pauses, path.view());
        let timer = sleep(Duration::ZERO);
        tokio::pin!(timer);
        let mut timer_runs = false;
        loop {
            event = match transaction.next(event) {
                Action::Wait { timer: change, hears_network } => {
                    match change {
                        Timer::Start(pause) => {
                            timer.as_mut().reset(after(pause));
                            timer_runs = true;
                        }
                        Timer::Stop => timer_runs = false,
                        Timer::Keep => {}
                    }
                    tokio::select! {
                        biased;
                        () = &mut timer, if timer_runs => {
                            timer_runs = false;
                            tracing::debug!("no reply yet");
                            let has_one_address = self.selector.has_one_address();
                            Event::TimedOut { replies: paths.last().valid_replies(), has_one_address }
                        }
                        error = paths.network_error(sealed.packet_len()), if hears_network => {
                            let is_too_long = udp::is_too_large(&error);
                            progress.set_error(error);
                            let is_shortened = is_too_long && self.shorten(sealed);
                            if is_shortened { Event::Shortened } else { Event::NetworkError { is_too_long } }
                        }
                        never = pending::<Infallible>(), if !timer_runs && !hears_network => match never {},
                    }
                }
                Action::GiveUp => return self.too_narrow(sealed, &paths),
                action => self.carry_out(action, sealed, &mut paths, progress).await,
            };
        }
    }

    /// Sends or opens a path, and returns the result.
    async fn carry_out(
        &self,
        action: Action,
        sealed: &mut SealedMessage<'_>,
        paths: &mut AttemptedPaths,
        progress: &Progress,
    ) -> Event {
        let opened = match action {
            Action::Send { resolves } => {
                if resolves {
                    self.selector.resolve_again();
                }
                return self.send_packet(sealed, paths, progress).await;
            }
            Action::OpenNew { newest, from, keeps_address, resolves } => {
                if resolves {
                    self.selector.resolve_again();
                }
                let opened = self.selector.open_new(newest, from, keeps_address);
                opened.map_err(|error| progress.set_error(error)).ok()
            }
            Action::FailOver { from, tried } => self.selector.fail_over(from, &tried),
            Action::Wait { .. } | Action::GiveUp => None,
        };
        opened.map_or(Event::NotOpened, |path| Event::Opened(paths.push(path)))
    }

    /// Returns the error of a packet that is too long for the path to every known address.
    fn too_narrow(&self, sealed: &SealedMessage<'_>, paths: &AttemptedPaths) -> Error {
        self.counts.path_too_narrow.add();
        let path = paths.last();
        Error::PathTooNarrow { address: path.address, packet_len: sealed.packet_len(), path_mtu: path.mtu() }
    }

    async fn send_packet(
        &self,
        sealed: &mut SealedMessage<'_>,
        paths: &mut AttemptedPaths,
        progress: &Progress,
    ) -> Event {
        paths.forget_late_reports();
        let path = paths.last();
        let replies = path.valid_replies();
        if progress.sent() >= self.settings.retry.long_packets() {
            self.shorten(sealed);
        }
        let mut sent = self.send_on(path, sealed).await;
        if sent.as_ref().is_err_and(udp::is_too_large) && self.shorten(sealed) {
            self.long_path.refused();
            sent = self.send_on(path, sealed).await;
        }
        match sent {
            Ok(()) => {
                sealed.set_sent_from(path.local_ip);
                if progress.count_sent(Arc::clone(path), replies, sealed.packet_len()) > 0 {
                    self.counts.retransmits.add();
                }
                Event::Sent { replies }
            }
            Err(error) => {
                let is_too_long = udp::is_too_large(&error);
                progress.set_error(error);
                Event::SendFailed { is_too_long }
            }
        }
    }

    async fn send_on(&self, path: &Path, sealed: &mut SealedMessage<'_>) -> io::Result<()> {
        match sealed.packet_from(path.local_ip) {
            Ok(packet) => path.send(packet, &self.counts).await,
            Err(error) => Err(io::Error::other(error)),
        }
    }

    /// Sends to the first address that can be sent to.
    pub(super) async fn send_once(&self, message: &[u8]) -> Result<(), Error> {
        let mut sealed = self.seal(message, None)?;
        let progress = Progress::default();
        let mut paths = AttemptedPaths::new(self.selector.current());
        let mut transaction = Transaction::new(std::iter::empty(), paths.last().view());
        let mut event = Event::Start { path: paths.last().view(), is_suspect: false };
        loop {
            match transaction.next(event) {
                Action::Wait { .. } => break,
                Action::GiveUp => return Err(self.too_narrow(&sealed, &paths)),
                action => event = self.carry_out(action, &mut sealed, &mut paths, &progress).await,
            }
        }
        progress.into_sent().map_err(Error::Network)?;
        self.counts.one_way.add();
        Ok(())
    }

    pub(super) fn check_size(&self, message: &[u8]) -> Result<(), Error> {
        let (sealer, limit) = (self.sealer.load(), self.settings.max_datagram);
        sealer.check_max_datagram(limit)?;
        if sealer.client(!sealer.fits(limit)).packet_len(message.len())? > limit {
            return Err(Error::TooLarge { message_len: message.len(), limit: self.max_message_len() });
        }
        Ok(())
    }

    pub(super) fn max_message_len(&self) -> usize {
        let (sealer, limit) = (self.sealer.load(), self.settings.max_datagram);
        sealer.client(!sealer.fits(limit)).max_message_len(limit)
    }
}
