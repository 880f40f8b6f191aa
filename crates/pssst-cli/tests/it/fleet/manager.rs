//! Notifications to a service manager, over its own protocol (`sd_notify` of systemd).

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::fleet::process::Fleet;

#[test]
fn a_service_manager_is_told_what_happens() {
    let fleet = Fleet::new();
    fleet.stdout(&["keygen", "--out", "server.key"]);
    let path = fleet.path("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let told = || {
        let mut buffer = [0; 1024];
        let len = manager.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    };
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "200000")];
    let server = fleet.start_in(&environment, &["serve", "--listen", "127.0.0.1:0", "--secret-key", "server.key"], 2);
    assert_eq!(told().trim(), "READY=1");
    for _ in 0..5 {
        assert_eq!(told().trim(), "WATCHDOG=1");
    }
    server.signal("HUP");
    let next = || loop {
        let word = told();
        if word.trim() != "WATCHDOG=1" {
            return word;
        }
    };
    let reloading = next();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(next().trim(), "READY=1");
    server.signal("TERM");
    assert_eq!(next().trim(), "STOPPING=1");
    server.stop();
}
