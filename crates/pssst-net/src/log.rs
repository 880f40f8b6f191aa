//! Logging that a flood cannot turn into one of its own.

use std::time::{Duration, Instant};

#[cfg(test)]
pub(crate) mod capture;

const INTERVAL: Duration = Duration::from_secs(60);

/// Says something at most once a minute. Counters tell how often it happened.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    next: Option<Instant>,
}

impl Seldom {
    pub(crate) fn say(&mut self, say: impl FnOnce()) {
        let now = Instant::now();
        if self.next.is_none_or(|next| next <= now) {
            self.next = Some(now + INTERVAL);
            say();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_again_at_once_is_not_said() {
        let (mut seldom, mut said) = (Seldom::default(), 0);
        for _ in 0..1000 {
            seldom.say(|| said += 1);
        }
        assert_eq!(said, 1);
        seldom.next = Some(Instant::now());
        seldom.say(|| said += 1);
        assert_eq!(said, 2);
    }
}
