//! The address behind a name, looked up now and then.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long an address is used without looking for another.
const LIFETIME: Duration = Duration::from_secs(30);

/// A host and a port. Lookups happen beside the worker, and nobody but the first waits for one.
#[derive(Debug)]
pub(crate) struct Target {
    name: String,
    known: Mutex<Option<(SocketAddr, Instant)>>,
}

impl Target {
    pub(crate) const fn new(name: String) -> Self {
        Self { name, known: Mutex::new(None) }
    }

    pub(crate) async fn address(&self) -> io::Result<SocketAddr> {
        if let Ok(address) = self.name.parse() {
            return Ok(address);
        }
        let known = *self.known();
        match known {
            Some((address, since)) if since.elapsed() < LIFETIME => Ok(address),
            Some((address, _)) => {
                // The others go on with what is known.
                *self.known() = Some((address, Instant::now()));
                Ok(self.look_up().await.unwrap_or(address))
            }
            None => self.look_up().await,
        }
    }

    /// The address is of no use: look for another.
    pub(crate) fn forget(&self) {
        *self.known() = None;
    }

    async fn look_up(&self) -> io::Result<SocketAddr> {
        let found = tokio::net::lookup_host(&self.name).await?.next();
        let address = found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))?;
        *self.known() = Some((address, Instant::now()));
        Ok(address)
    }

    fn known(&self) -> MutexGuard<'_, Option<(SocketAddr, Instant)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_are_looked_up_once_and_again_when_they_failed() {
        let target = Target::new("localhost:7".into());
        let address = target.address().await.unwrap();
        assert!(address.ip().is_loopback() && address.port() == 7);
        let since = target.known().unwrap().1;
        target.address().await.unwrap();
        assert_eq!(target.known().unwrap().1, since);
        target.forget();
        assert_eq!(target.address().await.unwrap(), address);
        assert!(target.known().unwrap().1 > since);
        assert_eq!(Target::new("[::1]:9".into()).address().await.unwrap().port(), 9);
        assert!(Target::new("nobody.invalid:9".into()).address().await.is_err());
    }
}
