//! What every process shows, by the names that Prometheus' own clients give it.

use std::fmt;

use super::writer::MetricsWriter;

#[cfg(target_os = "linux")]
pub(crate) fn metrics(page: &mut MetricsWriter<'_>) -> fmt::Result {
    use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
    use nix::sys::time::TimeValLike;

    let open = std::fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64);
    page.number("process_open_fds", "Open file descriptors", open)?;
    if let Ok((limit, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
        page.number("process_max_fds", "Limit on open file descriptors", limit)?;
    }
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        let micros = (usage.user_time() + usage.system_time()).num_microseconds();
        let seconds = std::time::Duration::from_micros(micros.try_into().unwrap_or_default()).as_secs_f64();
        page.seconds("process_cpu_seconds", "Processor time used", seconds)?;
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(kibibytes) = field(&status, "VmRSS:") {
        page.number("process_resident_memory_bytes", "Memory in use", kibibytes * 1024)?;
    }
    field(&status, "Threads:").map_or(Ok(()), |threads| page.number("process_threads", "Threads", threads))
}

/// Returns a number in /proc/self/status.
#[cfg(target_os = "linux")]
fn field(status: &str, name: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix(name))?.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn metrics(_: &mut MetricsWriter<'_>) -> fmt::Result {
    Ok(())
}
