//! The requests of a connection: a pool, and while the server's key changes the one before it.

use std::sync::mpsc::Receiver;

use crate::clock::Nanos;
use crate::pool::{Answer, Pool};

/// A pool that is replaced when another one is ready. What the old one has in flight may still be
/// answered.
pub(crate) struct RequestSource {
    current: Pool,
    retired: Option<Pool>,
    key_rotations: Option<Receiver<Pool>>,
}

impl RequestSource {
    /// This pool, until others come.
    pub(crate) fn new(pool: Pool, key_rotations: Option<Receiver<Pool>>) -> Self {
        Self { current: pool, retired: None, key_rotations }
    }

    /// Takes the next pool over, if there is one, and nothing of the one before the last is in
    /// flight.
    pub(crate) fn renew(&mut self) {
        if self.retired.as_ref().is_some_and(|pool| pool.in_flight() > 0) {
            return;
        }
        if let Some(pool) = self.key_rotations.as_ref().and_then(|key_rotations| key_rotations.try_recv().ok()) {
            self.retired = Some(std::mem::replace(&mut self.current, pool));
        }
    }

    /// [`Pool::in_flight`]
    pub(crate) fn in_flight(&self) -> usize {
        self.current.in_flight() + self.retired.as_ref().map_or(0, Pool::in_flight)
    }

    /// [`Pool::send`]
    pub(crate) fn send(&mut self, start: Nanos, now: Nanos) -> Option<&[u8]> {
        self.current.send(start, now)
    }

    /// [`Pool::answer`]
    pub(crate) fn answer(&mut self, packet: &mut [u8]) -> Answer {
        match (self.current.answer(packet), &mut self.retired) {
            (Answer::Stray, Some(retired)) => retired.answer(packet),
            (answer, _) => answer,
        }
    }

    /// [`Pool::oldest`]
    pub(crate) fn oldest(&mut self) -> Option<Nanos> {
        self.current.oldest().into_iter().chain(self.retired.as_mut().and_then(Pool::oldest)).min()
    }

    /// [`Pool::give_up`]
    pub(crate) fn give_up(&mut self, sent_by: Nanos) -> Option<Nanos> {
        self.current.give_up(sent_by).or_else(|| self.retired.as_mut()?.give_up(sent_by))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use pssst::{Client, SecretKey, Server};

    use super::*;
    use crate::clock::nanos;
    use crate::pool::Workload;

    fn pool(server: &SecretKey) -> Pool {
        let anonymous = Client::new(server.public_key()).unwrap();
        let workload = Workload { anonymous, authenticated: None, authenticated_share: 0.0, message_len: 4 };
        Pool::seal(&workload, 0..4).unwrap()
    }

    fn reply(server: &Server, mut packet: Vec<u8>) -> Vec<u8> {
        server.open_request(&mut packet).unwrap().into_reply_sealer().seal_to_vec(&mut pssst::SysRng, b"").unwrap()
    }

    #[test]
    fn what_the_old_pool_sent_is_still_answered() {
        let [old, new] = [SecretKey::from_bytes([1; 32]), SecretKey::from_bytes([2; 32])];
        let (sender, key_rotations) = mpsc::channel();
        let mut source = RequestSource::new(pool(&old), Some(key_rotations));
        let at = |millis| nanos(Duration::from_millis(millis));
        source.renew();
        let first = source.send(at(1), at(1)).unwrap().to_vec();
        let lost = source.send(at(2), at(2)).unwrap().to_vec();

        sender.send(pool(&new)).unwrap();
        source.renew();
        let second = source.send(at(3), at(3)).unwrap().to_vec();
        assert_eq!((source.in_flight(), source.oldest()), (3, Some(at(1))));
        let [old, new] = [old, new].map(Server::new);
        assert_eq!(source.answer(&mut reply(&new, second)), Answer::Reply { start: at(3) });
        assert_eq!(source.answer(&mut reply(&old, first)), Answer::Reply { start: at(1) });

        // Another one has to wait for what is left of the first.
        sender.send(pool(&SecretKey::from_bytes([3; 32]))).unwrap();
        source.renew();
        let third = source.send(at(4), at(4)).unwrap().to_vec();
        assert_eq!(source.answer(&mut reply(&new, third)), Answer::Reply { start: at(4) });
        assert_eq!((source.give_up(at(1)), source.give_up(at(2)), source.in_flight()), (None, Some(at(2)), 0));
        assert_eq!(source.answer(&mut reply(&old, lost)), Answer::Repeated);
        source.renew();
        let fourth = source.send(at(5), at(5)).unwrap().to_vec();
        assert!(new.open_request(&mut fourth.clone()).is_err());
    }
}
