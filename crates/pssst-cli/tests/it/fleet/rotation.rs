//! Keys change under load, and nobody notices.

use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::fleet::process::{Fleet, start_directory};

/// Two servers and a directory follow one schedule, which is rotated three times. `pssst bench`
/// keeps the first server busy and follows the directory meanwhile. `PSSST_ROTATION_SECONDS` is how
/// long, at least 15, and `PSSST_ROTATION_RATE` how many requests a second.
#[test]
#[ignore = "long: a step of `cargo xtask ci full`"]
fn no_transaction_fails_while_keys_rotate() {
    let seconds = std::env::var("PSSST_ROTATION_SECONDS").ok().map_or(16, |text| text.parse::<u32>().unwrap().max(15));
    let rate = std::env::var("PSSST_ROTATION_RATE").unwrap_or_else(|_| "500".into());
    let fleet = Fleet::new();
    let first_key = fleet.stdout(&["keys", "init", "keys.json", "--refresh-interval", "1s"]);
    fleet.stdout(&["keygen", "--out", "client.key"]);
    let (_directory, url, pin) = start_directory(&fleet, &[]);
    let serve = ["serve", "--listen", "127.0.0.1:0", "--keys", "keys.json", "--workers", "1"];
    let mut servers = [fleet.start(&serve, 2), fleet.start(&serve, 2)];
    let [address, other_address] = servers.each_mut().map(|server| server.value_of("listening on "));

    let span = seconds.to_string();
    let bench = [
        "bench",
        "--server",
        &address,
        "--directory",
        &url,
        "--pin",
        &pin,
        "--identity",
        "client.key",
        "--authenticated-share",
        "0.5",
        "--duration",
        &span,
        "--requests-prepared",
        "2000",
        "--rate",
        &rate,
        "--suite",
        "f001",
        "--timeout",
        "5",
        "--json",
    ];
    let report = thread::scope(|scope| {
        let load = scope.spawn(|| fleet.output(&bench, ""));
        // The load begins, and each key is in force for a while.
        for _ in 0..3 {
            thread::sleep(Duration::from_secs((seconds / 5).into()));
            fleet.stdout(&["keys", "rotate", "keys.json", "--activation-delay", "1500ms", "--grace-period", "1500ms"]);
            // The other server, by a client that has just come, before and after the change.
            for pause in [0, 1700] {
                thread::sleep(Duration::from_millis(pause));
                let request = ["request", "--server", &other_address, "--directory", &url, "--pin", &pin, "hello"];
                assert_eq!(fleet.stdout(&request), "hello");
            }
        }
        load.join().unwrap()
    });
    let said = String::from_utf8_lossy(&report.stderr);
    assert!(report.status.success(), "{said}");
    assert_eq!(said.matches("the server's key is").count(), 3, "{said}");

    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    println!("{seconds} s, three rotations: {report}");
    let count = |name: &str| report[name].as_f64().unwrap_or_else(|| panic!("no {name} in {report}"));
    assert!(count("requests") > 1000.0, "{report}");
    for failures in ["lost", "refused", "unsent"] {
        assert!(count(failures).abs() < f64::EPSILON, "{failures}: {report}");
    }
    let last_key = fleet.stdout(&["keys", "fetch", "--directory", &url, "--pin", &pin]);
    assert_ne!(first_key, last_key);
    for server in servers {
        let said = server.stop();
        assert!(!said.contains("decrypt_failed"), "{said}");
    }
}
