//! Configuration that changes under a running server: all of it or none, and no packet is lost.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pssst::{Client, PreSharedKey, PublicKey, SysRng};
use pssst_directory::IssuedPsk;
use pssst_test::{Process, wait_for};
use serde_json::Value;

use crate::fleet::process::{Fleet, start_directory};

/// A server whose configuration is in a file, its address, and a fleet with two keys.
fn start(every: &str) -> (Fleet, Process, String) {
    let fleet = Fleet::new();
    fleet.generate_keys(&["one", "two", "client"]);
    configure(&fleet, "secret-key = \"one.key\"");
    let serve = ["serve", "--listen", "127.0.0.1:0", "--config", "pssst.toml", "--reload-interval", every];
    let mut server = fleet.start(&serve, 2);
    let address = server.value_of("listening on ");
    (fleet, server, address)
}

fn configure(fleet: &Fleet, contents: &str) {
    fleet.write("pssst.toml", &format!("[serve]\n{contents}\n"));
}

fn answers(fleet: &Fleet, address: &str, key: &str, more: &[&str]) -> bool {
    let key = format!("{key}.pub");
    let args = ["request", "--server", address, "--server-key", &key, "--timeout", "0.7"];
    fleet.output(&[&args, more, &["hello"]].concat(), "").status.success()
}

#[test]
fn a_signal_has_the_configuration_read_again() {
    let (fleet, server, address) = start("1d");
    assert!(answers(&fleet, &address, "one", &[]) && !answers(&fleet, &address, "two", &[]));

    configure(&fleet, "secret-key = [\"two.key\", \"one.key\"]\nanonymous = \"refuse\"");
    server.signal("HUP");
    let identity = ["--identity", "client.key", "--suite", "1"];
    wait_for("the other key", || answers(&fleet, &address, "two", &identity));
    assert!(answers(&fleet, &address, "one", &identity) && !answers(&fleet, &address, "one", &[]));

    // Clients, and a suite.
    let client = fleet.stdout(&["pubkey", "client.key"]);
    fleet.stdout(&["clients", "add", "boiler-7", client.trim(), "--store", "sqlite:clients.db"]);
    configure(&fleet, "secret-key = \"two.key\"\nclients = \"sqlite:clients.db\"\nsuite = \"f002\"");
    server.signal("HUP");
    let ours = ["--identity", "client.key", "--suite", "f002"];
    wait_for("the first key is over", || !answers(&fleet, &address, "one", &ours));
    assert!(answers(&fleet, &address, "two", &ours) && !answers(&fleet, &address, "two", &identity));
    let stranger = ["--identity", "one.key", "--suite", "f002"];
    assert!(!answers(&fleet, &address, "two", &stranger));
    let said = server.stop();
    assert!(said.contains("clients_unknown "), "{said}");
}

/// Keys of a schedule come and go while a server runs.
#[test]
fn a_schedule_whose_keys_of_suite_f003_are_not_current_is_served_with_a_warning() {
    let fleet = Fleet::new();
    fleet.stdout(&["keys", "init", "keys.json", "--refresh-interval", "1s"]);
    fleet.stdout(&["keys", "rotate", "keys.json", "--only", "f003"]);
    let serve = ["serve", "--listen", "127.0.0.1:0", "--keys", "keys.json", "--suite", "f003"];
    let warned = |warning: bool| {
        let mut server = fleet.start(&serve, 2);
        let address = server.value_of("listening on ");
        let said = server.stop();
        assert_eq!(said.contains("has no current key of suite f003"), warning, "{address}: {said}");
    };
    warned(true);
    fleet.stdout(&["keys", "init", "current.json", "--post-quantum"]);
    let contents = std::fs::read_to_string(fleet.path("current.json")).unwrap();
    std::fs::write(fleet.path("keys.json"), &contents).unwrap();
    warned(false);
    // Keys that are over, as `keys retire` leaves them.
    let mut over: Value = serde_json::from_str(&contents).unwrap();
    over["xwing_keys"][0]["not_before"] = "2026-01-01T00:00:00Z".into();
    over["xwing_keys"][0]["not_after"] = "2026-02-01T00:00:00Z".into();
    std::fs::write(fleet.path("keys.json"), over.to_string()).unwrap();
    warned(true);
}

#[test]
fn a_configuration_that_is_not_right_changes_nothing() {
    let (fleet, server, address) = start("1d");
    let bad = [
        ("secret-key = [\"two.key\"]\nanonymus = \"refuse\"", "pssst.toml:3: serve has no option"),
        ("secret-key = [\"two.key\", \"none.key\"]", "pssst.toml:2: cannot open none.key"),
        ("secret-key = \"two.key\"\nworkers = 7", "workers cannot change while it runs"),
        ("secret-key = \"two.key\"\nclients = \"sqlite:/none/none.db\"", "pssst.toml:3: "),
        ("secret-key = \"two.key\"\nkeys = \"keys.json\"", "cannot be used with"),
        ("secret-key = \"two.key\"\nsuite = \"f003\"", "pssst.toml:3: suite f003 is enabled without a key"),
    ];
    let keeps_the_first_key = |contents| {
        server.signal("HUP");
        // The signal is heard at some time; until then and after it the first key is in force.
        for _ in 0..3 {
            assert!(answers(&fleet, &address, "one", &[]), "{contents}");
        }
    };
    for (contents, _) in bad {
        configure(&fleet, contents);
        keeps_the_first_key(contents);
    }
    fleet.write("pssst.toml", "");
    keeps_the_first_key("nothing");
    configure(&fleet, "secret-key = [\"one.key\", \"two.key\"]");
    server.signal("HUP");
    wait_for("what is right is taken", || answers(&fleet, &address, "two", &[]));
    let said = server.stop();
    assert!(said.contains("nothing was changed") && said.contains("error: "), "{said}");
    assert!(said.contains("cannot read pssst.toml: it has been emptied"), "{said}");
    for (_, words) in bad {
        assert!(said.contains(words), "no {words:?}: {said}");
    }
}

/// In the middle of a flood, say.
#[test]
fn limits_change_while_it_runs() {
    let (fleet, server, address) = start("1d");
    let bench = ["bench", "--server", &address, "--server-key", "one.pub", "--rate", "100", "--duration", "1"];
    let bench = [&bench[..], &["--requests-prepared", "100", "--timeout", "0.3", "--json"]].concat();
    let replies = || {
        let report: Value = serde_json::from_str(&fleet.stdout(&bench)).unwrap();
        report["replies"].as_u64().unwrap()
    };
    assert!(replies() > 50);
    configure(&fleet, "secret-key = \"one.key\"\nrate-limit = 1");
    server.signal("HUP");
    wait_for("a limit", || replies() < 20);
    // A file that has lost the line takes no limit away; another number does.
    configure(&fleet, "secret-key = \"one.key\"");
    server.signal("HUP");
    server.wait_for_stderr("rate-limit is no longer in the configuration", 1);
    assert!(replies() < 20);
    configure(&fleet, "secret-key = \"one.key\"\nrate-limit = 1000000");
    server.signal("HUP");
    wait_for("hardly any limit", || replies() > 50);
    let said = server.stop();
    assert!(said.contains("rate_limit "), "{said}");
}

/// As Kubernetes changes secrets: nobody sends a signal.
#[test]
fn changed_files_are_noticed_without_a_signal() {
    let (fleet, server, address) = start("1s");
    // The file keeps its name, and the configuration does not change.
    std::fs::copy(fleet.path("two.key"), fleet.path("one.key")).unwrap();
    wait_for("the other key", || answers(&fleet, &address, "two", &[]));
    // Refused at first, and tried again until it is right.
    std::fs::write(fleet.path("one.key"), "no key").unwrap();
    server.wait_for_stderr("nothing was changed", 1);
    assert!(answers(&fleet, &address, "two", &[]));
    std::fs::copy(fleet.path("client.key"), fleet.path("one.key")).unwrap();
    wait_for("the third key", || answers(&fleet, &address, "client", &[]));
    server.stop();
}

#[test]
fn no_packet_is_lost_to_reloads() {
    let (fleet, server, address) = start("1d");
    let bench = ["bench", "--server", &address, "--server-key", "one.pub", "--rate", "300", "--duration", "4"];
    let bench = [&bench[..], &["--requests-prepared", "1200", "--json"]].concat();
    let report = std::thread::scope(|scope| {
        let load = scope.spawn(|| fleet.stdout(&bench));
        for more in 0..30 {
            configure(&fleet, &format!("secret-key = [\"one.key\", \"two.key\"]\ndrain = {}", more % 3));
            server.signal("HUP");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        load.join().unwrap()
    });
    let report: Value = serde_json::from_str(&report).unwrap();
    assert!(report["replies"].as_u64() > Some(900) && report["lost"] == 0 && report["refused"] == 0, "{report}");
    let said = server.stop();
    assert!(!said.contains("nothing was changed") && !said.contains("decrypt_failed"), "{said}");
}

/// A service that counts what it is asked.
struct Upstream {
    socket: UdpSocket,
    asked: AtomicUsize,
}

impl Upstream {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_millis(50))).unwrap();
        Self { socket, asked: AtomicUsize::new(0) }
    }

    fn serve(&self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            if self.socket.recv(&mut [0; 100]).is_ok() {
                self.asked.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn url(&self) -> String {
        format!("udp://{}", self.socket.local_addr().unwrap())
    }
}

/// Sends anonymous requests until it is to stop.
fn send_anonymous_requests(server: &str, key: PublicKey, stop: &AtomicBool) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let client = Client::new(key).unwrap();
    while !stop.load(Ordering::Relaxed) {
        let (packet, _) = client.seal_request_to_vec(&mut SysRng, b"anonymous").unwrap();
        socket.send_to(&packet, server).unwrap();
        std::thread::sleep(std::time::Duration::from_micros(200));
    }
}

/// Sets a flag when a scope ends, also by a panic.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The access policy and the upstream change as one: under a configuration for enrolled clients
/// there is a private upstream, and under one for everyone a public one.
#[test]
fn no_anonymous_request_reaches_the_upstream_of_enrolled_clients() {
    let fleet = Fleet::new();
    let key = fleet.stdout(&["keygen", "--out", "server.key"]).trim().parse().unwrap();
    let client = fleet.stdout(&["keygen", "--out", "client.key"]);
    fleet.stdout(&["clients", "add", "boiler-7", client.trim(), "--store", "file:clients"]);
    let (private, public) = (Upstream::new(), Upstream::new());
    let configure = |is_public: bool| {
        let access = if is_public {
            format!("anonymous = \"allow\"\nupstream = \"{}\"", public.url())
        } else {
            format!("anonymous = \"refuse\"\nupstream = \"{}\"", private.url())
        };
        fleet.write(
            "pssst.toml",
            &format!("[gateway]\nsecret-key = \"server.key\"\nclients = \"file:clients\"\none-way = true\n{access}\n"),
        );
    };
    configure(false);
    let gateway = ["gateway", "--listen", "127.0.0.1:0", "--config", "pssst.toml", "--reload-interval", "1d"];
    let mut server = fleet.start(&gateway, 3);
    let address = server.value_of("listening on ");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = SetOnDrop(&stop);
        scope.spawn(|| private.serve(&stop));
        scope.spawn(|| public.serve(&stop));
        scope.spawn(|| send_anonymous_requests(&address, key, &stop));
        for _ in 0..10 {
            configure(true);
            server.signal("HUP");
            let before = public.asked();
            wait_for("all are served", || public.asked() > before + 10);
            configure(false);
            server.signal("HUP");
            wait_for("enrolled clients only", || {
                let before = public.asked();
                std::thread::sleep(std::time::Duration::from_millis(20));
                public.asked() == before
            });
        }
    });
    assert_eq!(private.asked(), 0);
    let said = server.stop();
    assert!(said.contains("anonymous_refused ") && !said.contains("nothing was changed"), "{said}");
}

/// Half of a file is a file too, with fewer lines.
#[test]
fn a_file_that_has_lost_a_line_opens_nothing() {
    let (fleet, server, address) = start("1d");
    let client = fleet.stdout(&["pubkey", "client.key"]);
    fleet.stdout(&["clients", "add", "boiler-7", client.trim(), "--store", "sqlite:clients.db"]);
    let whole = "secret-key = \"one.key\"\nclients = \"sqlite:clients.db\"";
    configure(&fleet, whole);
    server.signal("HUP");
    server.wait_for_stderr("reloaded the configuration", 1);
    let losses = [
        ("clients, anonymous is", "secret-key = \"one.key\""),
        ("clients is", "secret-key = \"one.key\"\nanonymous = \"refuse\""),
    ];
    for (lost, contents) in losses {
        configure(&fleet, contents);
        server.signal("HUP");
        server.wait_for_stderr(&format!("{lost} no longer in the configuration"), 1);
        for stranger in [&[][..], &["--identity", "two.key"]] {
            assert!(!answers(&fleet, &address, "one", stranger), "{lost}");
        }
    }
    assert!(answers(&fleet, &address, "one", &["--identity", "client.key"]));

    // With the word for it, it is an intention.
    configure(&fleet, &format!("{whole}\nanonymous = \"allow\""));
    server.signal("HUP");
    wait_for("anonymous clients are served", || answers(&fleet, &address, "one", &[]));
    let said = server.stop();
    assert!(said.contains("WARN anonymous clients are served"), "{said}");
    assert!(said.contains("WARN all clients are served"), "{said}");

    // A gateway needs that word from the start.
    let said = fleet.refusal_of_usage(&["gateway", "--secret-key", "one.key", "--upstream", "udp://127.0.0.1:1"]);
    assert!(said.contains("nothing says which clients are served") && said.contains("--anonymous allow"), "{said}");
}

/// A proxy that has lost its identity would be anonymous, and without the others what it sends
/// would be protected less.
#[test]
fn a_proxy_that_has_lost_a_line_keeps_what_it_says() {
    let fleet = Fleet::new();
    fleet.generate_keys(&["server", "client"]);
    let psk = IssuedPsk { psk: PreSharedKey::from_bytes([0x5a; 32]), master: [0x5a; 8].into() };
    fleet.write_private("client.psk", &psk.expose_pem());
    let server = "server = \"127.0.0.1:9\"\nserver-key = \"server.pub\"";
    let lines = ["identity = \"client.key\"", "psk = \"client.psk\"", "fresh-replies = true", "pad-to = 500"];
    fleet.write("pssst.toml", &format!("[proxy]\n{server}\n{}\n", lines.join("\n")));
    let proxy = fleet.start(&["proxy", "--listen", "127.0.0.1:0", "--config", "pssst.toml"], 1);
    // Without an identity there can be no pre-shared key either.
    for lost in 1..lines.len() {
        fleet.write("pssst.toml", &format!("[proxy]\n{server}\n{}\n", without(&lines, lost)));
        proxy.signal("HUP");
        let option = lines[lost].split(' ').next().unwrap();
        proxy.wait_for_stderr(&format!("{option} is no longer in the configuration"), 1);
    }
    fleet.write("pssst.toml", &format!("[proxy]\n{server}\n{}\n", lines[2..].join("\n")));
    proxy.signal("HUP");
    proxy.wait_for_stderr("identity, psk is no longer in the configuration", 1);
    proxy.stop();
}

/// Without its cache it would take older keys after a restart; with a damaged one it does not know
/// which keys it had.
#[test]
fn a_proxy_that_has_lost_its_cache_of_keys_notices() {
    let fleet = Fleet::new();
    fleet.stdout(&["keys", "init", "keys.json"]);
    let (_directory, url, pin) = start_directory(&fleet, &[]);
    let whole = format!("[proxy]\nserver = \"127.0.0.1:9\"\ndirectory = \"{url}\"\npin = \"{pin}\"\n");
    let cache = "key-cache = \"cache.json\"\n";
    fleet.write("pssst.toml", &format!("{whole}{cache}"));
    let proxy = ["proxy", "--listen", "127.0.0.1:0", "--config", "pssst.toml"];
    let running = fleet.start(&proxy, 1);
    fleet.write("pssst.toml", &whole);
    running.signal("HUP");
    running.wait_for_stderr("key-cache is no longer in the configuration", 1);

    fleet.write("pssst.toml", &format!("{whole}{cache}"));
    let good = std::fs::read_to_string(fleet.path("cache.json")).unwrap();
    fleet.write("cache.json", &good[..good.len() / 2]);
    running.signal("HUP");
    running.wait_for_stderr("the stored keys in cache.json cannot be used", 1);
    let said = fleet.refusal_of_usage(&proxy);
    assert!(said.contains("the stored keys in cache.json cannot be used") && said.contains("delete it"), "{said}");
    fleet.write("cache.json", &good);
    running.signal("HUP");
    running.wait_for_stderr("reloaded the configuration", 1);
    running.stop();
}

#[test]
fn a_server_that_has_lost_a_line_opens_nothing() {
    let (fleet, server, _) = start("1d");
    let lines = [
        "secret-key = \"one.key\"",
        "fresh-replies = \"require\"",
        "max-amplification = 2",
        "max-authenticated-amplification = 1",
    ];
    configure(&fleet, &lines.join("\n"));
    server.signal("HUP");
    server.wait_for_stderr("reloaded the configuration", 1);
    for lost in 1..lines.len() {
        configure(&fleet, &without(&lines, lost));
        server.signal("HUP");
        let option = lines[lost].split(' ').next().unwrap();
        server.wait_for_stderr(&format!("{option} is no longer in the configuration"), 1);
    }
    // Other values are intended.
    configure(
        &fleet,
        "secret-key = \"one.key\"\nfresh-replies = \"allow\"\nmax-amplification = 3\nmax-authenticated-amplification = 3",
    );
    server.signal("HUP");
    server.wait_for_stderr("reloaded the configuration", 2);
    server.stop();
}

/// Returns the lines but this one.
fn without(lines: &[&str], place: usize) -> String {
    let left = lines.iter().enumerate().filter(|(other, _)| *other != place).map(|(_, line)| *line);
    left.collect::<Vec<_>>().join("\n")
}

/// `--drain`: it keeps serving for a while, and a second signal ends that.
#[test]
fn a_server_that_drains_serves_on() {
    let (fleet, server, address) = start("1d");
    configure(&fleet, "secret-key = \"one.key\"\ndrain = 3600");
    server.signal("HUP");
    server.wait_for_stderr("reloaded the configuration", 1);
    server.signal("TERM");
    server.wait_for_stderr("draining", 1);
    assert!(answers(&fleet, &address, "one", &[]));
    server.stop();
}
