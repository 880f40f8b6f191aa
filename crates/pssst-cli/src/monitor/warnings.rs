//! Warnings: conditions that an operator should know of without looking for them.

use pssst_support::grouped;

use super::reading::Reading;

/// A blocked worker serves nobody.
const MAX_STALL_SECONDS: f64 = 1.0;
const SECONDS_OF_A_DAY: i64 = 86_400;
/// Time to replace a certificate.
const EXPIRY_DAYS: i64 = 14;

pub(super) fn warnings(reading: &Reading) -> Vec<String> {
    let page = &reading.page;
    let mut warnings: Vec<_> = reading.not_live.iter().map(|reason| format!("not live: {reason}")).collect();
    warnings.extend(reading.not_ready.iter().map(|reason| format!("not ready: {reason}")));
    let is_on = |name| page.value(name).is_some_and(|value| value > 0.0);
    if is_on("pssst_config_reload_refused") {
        warnings.push("the last reload was refused: an older configuration is in force; the log has the cause".into());
    }
    let failures = |file| page.counts("pssst_file_failures_total", "file").find(|(it, _)| *it == file);
    for (file, _) in page.values("pssst_file_refused", "file").filter(|(_, value)| *value > 0.0) {
        let failed = grouped(failures(file).map_or(1, |(_, count)| count));
        warnings.push(format!(
            "{file} cannot be used (failed checks: {failed}): its previous contents stay in force; the log has the cause"
        ));
    }
    if is_on("pssst_gateway_circuit_open") {
        warnings.push("the circuit breaker is open: the upstream failed and is not called".into());
    }
    for name in ["pssst_server_worker_stall_seconds", "pssst_proxy_worker_stall_seconds"] {
        if let Some(stall) = page.value(name).filter(|stall| *stall > MAX_STALL_SECONDS) {
            warnings.push(format!("a worker has been blocked for {stall:.1} s"));
        }
    }
    for (name, what) in [
        ("pssst_server_kernel_drops_total", "datagrams were dropped by the kernel: the receive buffer was full"),
        ("pssst_identity_refused_unsaved_total", "reports of refused clients could not be stored"),
        ("pssst_client_keys_cache_failures_total", "key documents could not be written to the cache"),
        ("pssst_log_lines_lost_total", "lines of the log were lost, since nobody read them"),
    ] {
        if let Some(count @ 1..) = page.count(name) {
            warnings.push(format!("{} {what} (since the start)", grouped(count)));
        }
    }
    if let Some(expiry) = reading.timestamp("pssst_directory_certificate_expiry_timestamp_seconds") {
        match expiry.as_second() - reading.date.as_second() {
            ..=0 => warnings.push("the directory's certificate has expired".into()),
            left if left < EXPIRY_DAYS * SECONDS_OF_A_DAY => {
                warnings.push(format!("the directory's certificate expires in {} d", left / SECONDS_OF_A_DAY));
            }
            _ => {}
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::monitor::reading::tests::reading;

    #[test]
    fn what_is_wrong_is_named_and_nothing_else() {
        assert_eq!(warnings(&reading(Instant::now(), 1010, "")), Vec::<String>::new());
        let mut reading = reading(
            Instant::now(),
            1010,
            concat!(
                "pssst_config_reload_refused 1.0\npssst_gateway_circuit_open 0.0\n",
                "pssst_file_refused{file=\"good\"} 0.0\npssst_file_refused{file=\"keys.json\"} 1.0\n",
                "pssst_file_failures_total{file=\"good\"} 2\npssst_file_failures_total{file=\"keys.json\"} 3\n",
                "pssst_log_lines_lost_total 1200\npssst_server_kernel_drops_total 0\n",
                "pssst_directory_certificate_expiry_timestamp_seconds 260210.0\n",
            ),
        );
        reading.not_ready.push("it is about to stop".into());
        assert_eq!(
            warnings(&reading),
            [
                "not ready: it is about to stop",
                "the last reload was refused: an older configuration is in force; the log has the cause",
                "keys.json cannot be used (failed checks: 3): its previous contents stay in force; the log has the cause",
                "1,200 lines of the log were lost, since nobody read them (since the start)",
                "the directory's certificate expires in 3 d",
            ]
        );
    }
}
