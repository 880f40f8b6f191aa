//! Counters and histograms of the packet path.

mod counter;
mod histogram;

pub(crate) use counter::Counter;
pub use histogram::Histogram;
pub(crate) use histogram::{AtomicHistogram, Buckets};
