//! Upstreams over a connection, with the length before each message.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use pssst_net::Reply;
use pssst_net::udp::Resolver;
use pssst_support::sync::lock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::{Answer, Failure};
use crate::stats::ExchangeOutcome;

/// Connections that are kept for the next request.
const MAX_IDLE: usize = 64;
/// Reads of unwanted answers in a row, so that a service that never stops cannot hold a worker.
const MAX_DISCARDS: usize = 64;
/// Time that a service has to read the last one-way messages before a connection is closed.
const LINGER: Duration = Duration::from_secs(5);

/// The address of a service that takes connections.
#[derive(Debug)]
pub(crate) enum StreamAddr {
    Tcp(Resolver),
    Unix(PathBuf),
}

/// An upstream with a worker's idle connections to it.
///
/// A connection carries one request at a time. A connection that failed or timed out is closed: a
/// late answer on it could reach another client's request.
#[derive(Debug)]
pub(crate) struct StreamUpstream {
    address: StreamAddr,
    idle: Mutex<Vec<Connection>>,
}

#[derive(Debug)]
enum Connection {
    Tcp(TcpStream, SocketAddr),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl StreamUpstream {
    pub(crate) const fn new(address: StreamAddr) -> Self {
        Self { address, idle: Mutex::new(Vec::new()) }
    }

    pub(crate) async fn call(&self, message: &[u8], max_reply: usize, is_one_way: bool) -> Result<Answer, Failure> {
        let Ok(len) = u16::try_from(message.len()) else { return Err(Failure::new(ExchangeOutcome::TooLarge)) };
        let frame = [&len.to_be_bytes(), message].concat();
        self.leave_old_addresses().await;
        if let Some(mut connection) = self.take_idle(is_one_way) {
            let outcome = match connection.exchange(&frame, max_reply, is_one_way).await {
                // Nothing tells whether the service read it before the connection ended.
                Ok(Answer::Delivered) if !connection.discard_input() => Err(ExchangeError::Stale),
                outcome => outcome,
            };
            match outcome {
                // It was closed while it was idle, so the upstream has not seen the request. Or it
                // closes connections because of this very message, so this happens once.
                Err(ExchangeError::Stale) => {}
                outcome => return self.settle(connection, outcome, is_one_way),
            }
        }
        let mut connection = self.connect().await?;
        let outcome = connection.exchange(&frame, max_reply, is_one_way).await;
        self.settle(connection, outcome, is_one_way)
    }

    /// Closes connections to addresses that the name has left, and has it looked up again while
    /// kept connections serve all requests.
    async fn leave_old_addresses(&self) {
        let StreamAddr::Tcp(addresses) = &self.address else { return };
        let Ok(current) = addresses.addresses().await else { return };
        let is_old = |connection: &mut Connection| match connection {
            Connection::Tcp(_, address) => !current.contains(address),
            #[cfg(unix)]
            Connection::Unix(_) => false,
        };
        for connection in lock(&self.idle).extract_if(.., is_old) {
            tokio::spawn(connection.linger());
        }
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let unreachable = |error: io::Error| Failure::of_io(&error, ExchangeOutcome::Unreachable);
        match &self.address {
            StreamAddr::Tcp(addresses) => {
                let address = addresses.address().await.map_err(unreachable)?;
                let guard = addresses.suspect(Some(address));
                let connection = TcpStream::connect(address).await.map_err(unreachable)?;
                guard.clear();
                connection.set_nodelay(true).map_err(unreachable)?;
                Ok(Connection::Tcp(connection, address))
            }
            #[cfg(unix)]
            StreamAddr::Unix(path) => UnixStream::connect(path).await.map(Connection::Unix).map_err(unreachable),
            #[cfg(not(unix))]
            StreamAddr::Unix(_) => Err(unreachable(io::ErrorKind::Unsupported.into())),
        }
    }

    /// Keeps a connection that is as good as new.
    fn settle(
        &self,
        connection: Connection,
        outcome: Result<Answer, ExchangeError>,
        is_one_way: bool,
    ) -> Result<Answer, Failure> {
        match outcome {
            Ok(answer) => {
                let mut idle = lock(&self.idle);
                if idle.len() < MAX_IDLE {
                    idle.push(connection);
                } else if is_one_way {
                    tokio::spawn(connection.linger());
                }
                Ok(answer)
            }
            Err(ExchangeError::TooLarge) => Err(Failure::new(ExchangeOutcome::TooLarge)),
            Err(ExchangeError::Stale | ExchangeError::Broken) => Err(Failure::new(ExchangeOutcome::Broken)),
        }
    }

    /// Returns the connection that was used last and is still open, and silent unless answers do
    /// not matter.
    fn take_idle(&self, is_one_way: bool) -> Option<Connection> {
        let mut idle = lock(&self.idle);
        while let Some(connection) = idle.pop() {
            if if is_one_way { connection.discard_input() } else { connection.is_silent() } {
                return Some(connection);
            }
        }
        None
    }
}

/// The service may not have read all one-way messages yet.
impl Drop for StreamUpstream {
    fn drop(&mut self) {
        let Ok(runtime) = Handle::try_current() else { return };
        for connection in lock(&self.idle).drain(..) {
            runtime.spawn(connection.linger());
        }
    }
}

/// Why an exchange failed.
#[derive(Debug)]
enum ExchangeError {
    /// The connection ended before the first byte of an answer.
    Stale,
    /// It ended later.
    Broken,
    /// The answer is too long.
    TooLarge,
}

impl Connection {
    /// Returns whether there is neither unexpected data nor the end of the stream.
    fn is_silent(&self) -> bool {
        matches!(self.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Discards what has arrived, and returns whether the stream is open. The system resets a
    /// connection that is closed with unread data, and the service then loses messages that it has
    /// not read.
    fn discard_input(&self) -> bool {
        let mut discarded = [0; 4096];
        for _ in 0..MAX_DISCARDS {
            match self.try_read(&mut discarded) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        true
    }

    /// Closes the connection once the service has read everything and closes it too, or in a while.
    async fn linger(mut self) {
        let closing = async {
            self.shutdown().await?;
            let mut discarded = [0; 4096];
            while self.read(&mut discarded).await? > 0 {}
            Ok::<_, io::Error>(())
        };
        drop(timeout(LINGER, closing).await);
    }

    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream, _) => stream.try_read(buffer),
            #[cfg(unix)]
            Self::Unix(stream) => stream.try_read(buffer),
        }
    }

    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream, _) => stream.read(buffer).await,
            #[cfg(unix)]
            Self::Unix(stream) => stream.read(buffer).await,
        }
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream, _) => stream.shutdown().await,
            #[cfg(unix)]
            Self::Unix(stream) => stream.shutdown().await,
        }
    }

    async fn exchange(&mut self, frame: &[u8], max_reply: usize, is_one_way: bool) -> Result<Answer, ExchangeError> {
        self.write_all(frame).await.map_err(|_| ExchangeError::Stale)?;
        if is_one_way {
            return Ok(Answer::Delivered);
        }
        let mut len = [0; 2];
        self.read_exact(&mut len[..1]).await.map_err(|_| ExchangeError::Stale)?;
        self.read_exact(&mut len[1..]).await.map_err(|_| ExchangeError::Broken)?;
        let len = usize::from(u16::from_be_bytes(len));
        if len > max_reply {
            return Err(ExchangeError::TooLarge);
        }
        let mut answer = vec![0; len];
        self.read_exact(&mut answer).await.map_err(|_| ExchangeError::Broken)?;
        Ok(Answer::Reply(Reply::from(answer)))
    }

    async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream, _) => stream.write_all(bytes).await,
            #[cfg(unix)]
            Self::Unix(stream) => stream.write_all(bytes).await,
        }
    }

    async fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream, _) => stream.read_exact(buffer).await,
            #[cfg(unix)]
            Self::Unix(stream) => stream.read_exact(buffer).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::Arc;

    use tokio::net::TcpSocket;

    use super::*;

    #[tokio::test]
    async fn connections_to_addresses_that_a_name_has_left_are_closed() {
        let [one, two] = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        let addresses = [&one, &two].map(|listener| listener.local_addr().unwrap());
        let current = Arc::new(Mutex::new(addresses[0]));
        let lookup = Arc::clone(&current);
        let resolver = Resolver::with_lookup(move || std::future::ready(Ok(vec![*lock(&lookup)])));
        let stream = StreamUpstream::new(StreamAddr::Tcp(resolver.clone()));
        for _ in 0..3 {
            stream.call(b"hello", 100, true).await.unwrap();
        }
        let (mut at_one, _) = one.accept().unwrap();
        *lock(&current) = addresses[1];
        resolver.refresh();
        while resolver.known() != [addresses[1]] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stream.call(b"hello", 100, true).await.unwrap();
        let mut received = Vec::new();
        let read = tokio::task::spawn_blocking(move || at_one.read_to_end(&mut received).map(|_| received));
        // All of it, and then the end.
        assert_eq!(read.await.unwrap().unwrap(), b"\0\x05hello".repeat(3));
        two.accept().unwrap();
    }

    /// Like a machine without power: a connection is neither accepted nor refused.
    #[tokio::test]
    async fn an_address_that_says_nothing_is_left_for_another() {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let dead = socket.listen(0).unwrap();
        let alive = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addresses = {
            let all = vec![dead.local_addr().unwrap(), alive.local_addr().unwrap()];
            Resolver::with_lookup(move || std::future::ready(Ok(all.clone())))
        };
        // Until the system has no room for more.
        let mut waiting = Vec::new();
        while let Ok(connection) =
            timeout(Duration::from_millis(200), TcpStream::connect(dead.local_addr().unwrap())).await
        {
            waiting.push(connection.unwrap());
        }
        let stream = StreamUpstream::new(StreamAddr::Tcp(addresses));
        assert!(timeout(Duration::from_millis(200), stream.call(b"hello", 100, false)).await.is_err());
        let asked = stream.call(b"hello", 100, true);
        let outcome = timeout(Duration::from_secs(20), asked).await.unwrap();
        assert!(matches!(outcome, Ok(Answer::Delivered)), "{outcome:?}");
    }
}
