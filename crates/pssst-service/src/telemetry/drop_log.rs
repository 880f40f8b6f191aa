//! A line a minute for each cause of losses, however many there are.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

const INTERVAL: Duration = Duration::from_mins(1);

/// Tells what was lost since it last did, until it is dropped.
pub(crate) async fn report(
    counts: impl Fn() -> Vec<(&'static str, u64)>,
    mut say: impl FnMut(&str, u64),
) -> Infallible {
    let mut told: HashMap<&'static str, u64> = counts().into_iter().collect();
    loop {
        tokio::time::sleep(INTERVAL).await;
        for (cause, count) in counts() {
            let before = told.insert(cause, count).unwrap_or_default();
            if count > before {
                say(cause, count - before);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::telemetry::{MetricsWriter, Monitored};

    struct Flooded(AtomicU64);

    impl Monitored for Flooded {
        fn metrics(&self, _: &mut MetricsWriter<'_>) -> fmt::Result {
            Ok(())
        }

        fn refusals(&self) -> Vec<(&'static str, u64)> {
            vec![("junk", self.0.load(Ordering::Relaxed)), ("calm", 7)]
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_a_line_a_minute() {
        let service = Flooded(AtomicU64::new(5));
        let mut said = Vec::new();
        let flood = async {
            for _ in 0..3000 {
                service.0.fetch_add(1000, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            // Then nothing, for a while.
            tokio::time::sleep(10 * INTERVAL).await;
        };
        tokio::select! {
            // The report begins before the flood.
            biased;
            never = report(|| service.refusals(), |cause, count| said.push((cause.to_owned(), count))) => match never {},
            () = flood => {}
        }
        assert!((5..=6).contains(&said.len()), "{said:?}");
        assert!(said.iter().all(|(cause, _)| cause == "junk"));
        assert_eq!(said.iter().map(|(_, count)| count).sum::<u64>(), 3_000_000);
    }
}
