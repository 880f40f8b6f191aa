//! A day in the life of a fleet: rotations, thefts, backups, mistakes and hostile neighbours, while
//! 50 devices ask all the time. After each event, what must work works, and what must be refused is
//! refused.

use std::net::UdpSocket;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pssst::{PublicKey, SecretKey};
use pssst_directory::jiff::{SignedDuration, Timestamp};
use pssst_directory::{Clock, DirectoryClient, Pin};
use pssst_directory_server::{Directory, ScheduleFile, ServerCertificate};
use pssst_identity::SqlStore;
use pssst_net::Client;
use pssst_test::{PATIENCE, Postgres, Process, wait_for};
use tokio::runtime::Runtime;

use crate::fleet::metrics::{METRICS, samples};
use crate::fleet::process::Fleet;

const DEVICES: u32 = 50;
const YEARS: i64 = 5 * 366 * 24;

/// A device: it follows its directory, and asks its gateway.
struct Device {
    client: Client,
    asked: AtomicU64,
    answered: AtomicU64,
}

/// The load since the last look.
struct Figures {
    asked: u64,
    answered: u64,
}

struct Day {
    fleet: Fleet,
    runtime: Runtime,
    store: String,
    upstream: String,
    gateways: [Process; 2],
    /// In front of the first gateway.
    proxy: Process,
    directory: Process,
    pin: Pin,
    url: String,
    devices: Vec<Arc<Device>>,
    rest: Arc<AtomicBool>,
    begun: Instant,
}

fn shifted(hours: i64) -> Clock {
    Clock::from_fn(move || Timestamp::now() + SignedDuration::from_hours(hours))
}

/// A service that answers with what it is asked, except that it never answers `slow`.
fn upstream() -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((len, peer)) = socket.recv_from(&mut buffer) {
            if &buffer[..len] != b"slow" {
                drop(socket.send_to(&buffer[..len], peer));
            }
        }
    });
    format!("udp://{address}")
}

/// Asks about ten times a second until the day is over.
async fn live(device: Arc<Device>, rest: Arc<AtomicBool>) {
    while !rest.load(Ordering::Relaxed) {
        device.asked.fetch_add(1, Ordering::Relaxed);
        if device.client.request("how warm is it?").await.is_ok() {
            device.answered.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

impl Day {
    fn begin() -> Self {
        let begun = Instant::now();
        let fleet = Fleet::new();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let store = Postgres::shared().fresh_database();
        let secrets: Vec<_> = (1..=DEVICES).map(pssst_test::secret).collect();
        let line = |(number, secret): (usize, &SecretKey)| {
            format!("{{\"key\":\"{}\",\"name\":\"device-{number}\"}}\n", secret.public_key())
        };
        fleet.write("clients.jsonl", &secrets.iter().enumerate().map(line).collect::<String>());
        fleet.stdout(&["clients", "import", "clients.jsonl", "--store", &store]);
        fleet.generate_keys(&["proxy", "stranger"]);
        fleet.stdout(&["clients", "add", "proxy", "proxy.pub", "--store", &store]);
        fleet.stdout(&["keys", "init", "keys.json", "--refresh-interval", "2s"]);
        fleet.stdout(&["operator", "create", "alice", "--file", "operators", "--out", "alice.token"]);

        let (directory, url, pin) = start_directory(&fleet, &store, "keys.json", "directory");
        let upstream = upstream();
        let gateway = |stalled: bool| {
            let args = ["gateway", "--listen", "127.0.0.1:0", "--keys", "keys.json", "--clients", &store];
            let limits = ["--upstream-timeout", "1s", "--workers", "1"];
            let mut command = fleet.command(&[&args[..], &["--upstream", &upstream], &limits, &METRICS].concat());
            command.stdin(Stdio::null());
            if !stalled {
                return Process::spawn(&mut command);
            }
            // Nobody ever reads its log, and the pipe is full.
            let (reader, mut writer) = std::io::pipe().unwrap();
            std::io::Write::write_all(&mut writer, &vec![b'\n'; 65_536]).unwrap();
            let process = Process::spawn_with_its_stderr(command.stderr(writer));
            std::mem::forget(reader);
            process
        };
        let mut gateways = [gateway(false), gateway(true)];
        let addresses = gateways.each_mut().map(|gateway| gateway.value_of("listening on "));
        let pinned = pin.to_string();
        let proxy = ["proxy", "--listen", "127.0.0.1:0", "--server", &addresses[0], "--identity", "proxy.key"];
        let of_directory = ["--directory", &url, "--pin", &pinned];
        let mut proxy = fleet.start(&[&proxy[..], &of_directory].concat(), 0);
        proxy.value_of("listening on ");
        let other = Self::other_directory(&runtime, &fleet, &store);

        let devices = runtime.block_on(async {
            let mut devices = Vec::new();
            for (number, secret) in secrets.iter().enumerate() {
                // Some clocks are five years ahead, some behind; and each second one has the other
                // directory, whose clock is ahead.
                let hours = [0, 0, 0, YEARS, -YEARS][number % 5];
                let url = if number % 2 == 0 { &url } else { &other };
                let source = DirectoryClient::builder(url).pin(pin).clock(shifted(hours)).build().unwrap();
                source.fetch().await.unwrap();
                let current = source.current_key().unwrap();
                let builder = Client::builder(current.key).suite(current.suite).identity(secret);
                let client = builder.timeout(Duration::from_secs(2)).connect(&addresses[number / 2 % 2]).await.unwrap();
                let device = Device { client, asked: AtomicU64::new(0), answered: AtomicU64::new(0) };
                let device = Arc::new(device);
                let follower = device.client.clone();
                tokio::spawn(async move { source.keep_current(&follower).await });
                devices.push(device);
            }
            devices
        });
        let rest = Arc::new(AtomicBool::new(false));
        for device in &devices {
            runtime.spawn(live(Arc::clone(device), Arc::clone(&rest)));
        }
        Self { fleet, runtime, store, upstream, gateways, proxy, directory, pin, url, devices, rest, begun }
    }

    /// Starts a second directory in this process, for the same keys, clients and certificate, whose
    /// clock is five years ahead. Returns its URL.
    fn other_directory(runtime: &Runtime, fleet: &Fleet, store: &str) -> String {
        let schedule = ScheduleFile::open(fleet.path("keys.json"), false).unwrap().with_clock(shifted(YEARS));
        let (chain, key) = (fleet.path("directory.crt"), fleet.path("directory.key"));
        let certificate = ServerCertificate::from_files(chain, key, false).unwrap();
        let directory = runtime.block_on(async {
            let store = SqlStore::open_existing(store).await.unwrap();
            let builder = Directory::builder(store, Arc::new(schedule), certificate);
            builder.bind("127.0.0.1:0".parse().unwrap(), None).await.unwrap().serve()
        });
        let url = format!("https://{}", directory.public_addr());
        // As long as the test's process.
        std::mem::forget(directory);
        url
    }

    /// Asserts that every device and the proxy are answered, and prints what the load has seen.
    #[track_caller]
    fn all_is_well(&mut self, event: &str) {
        let devices: Vec<_> = self.devices.iter().map(|device| device.client.clone()).collect();
        wait_for(&format!("{event}: every device is answered"), || {
            self.runtime.block_on(async {
                let asking: Vec<_> = devices
                    .iter()
                    .cloned()
                    .map(|client| tokio::spawn(async move { client.request("hello").await.is_ok() }))
                    .collect();
                for answer in asking {
                    if !answer.await.unwrap() {
                        return false;
                    }
                }
                true
            })
        });
        let program = UdpSocket::bind("127.0.0.1:0").unwrap();
        program.connect(self.proxy.value_of("listening on ")).unwrap();
        program.set_read_timeout(Some(PATIENCE)).unwrap();
        program.send(b"hello").unwrap();
        let len = program.recv(&mut [0; 100]).unwrap_or_else(|error| panic!("{event}: the proxy: {error}"));
        assert_eq!(len, 5, "{event}");
        let Figures { asked, answered } = self.figures();
        println!("{:5.1} s  {event}: {answered} of {asked} answered", self.begun.elapsed().as_secs_f64());
    }

    fn figures(&self) -> Figures {
        let sum = |count: fn(&Device) -> &AtomicU64| {
            self.devices.iter().map(|device| count(device).swap(0, Ordering::Relaxed)).sum()
        };
        Figures { asked: sum(|device| &device.asked), answered: sum(|device| &device.answered) }
    }

    /// Returns whether the first gateway answers a request of this identity for this key.
    fn is_served(&mut self, server_key: &str, identity: Option<&str>) -> bool {
        let address = self.gateways[0].value_of("listening on ");
        let request = ["request", "--server", &address, "--server-key", server_key, "--timeout", "1"];
        let identity = identity.map_or(Vec::new(), |identity| vec!["--identity", identity]);
        self.fleet.output(&[&request[..], &identity, &["hello"]].concat(), "").status.success()
    }

    fn current_key(&self) -> String {
        let show = self.fleet.stdout(&["keys", "show", "keys.json"]);
        let line = show.lines().find(|line| line.contains("current")).unwrap_or_else(|| panic!("{show}"));
        line.split_whitespace().find(|word| word.len() == 64).unwrap().to_owned()
    }

    fn generation(&self) -> u64 {
        let show = self.fleet.stdout(&["keys", "show", "keys.json"]);
        let line = show.lines().find_map(|line| line.strip_prefix("generation: ")).unwrap();
        line.parse().unwrap()
    }

    fn end(self) {
        self.rest.store(true, Ordering::Relaxed);
        for device in &self.devices {
            device.client.close();
        }
        self.proxy.stop();
        self.gateways.into_iter().for_each(|gateway| drop(gateway.stop()));
        self.directory.stop();
    }
}

/// Starts a directory over PostgreSQL, and returns its URL and its pin.
fn start_directory(fleet: &Fleet, store: &str, keys: &str, name: &str) -> (Process, String, Pin) {
    let (certificate, key) = (format!("{name}.crt"), format!("{name}.key"));
    let listen = ["directory", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--keys", keys];
    let certificate = ["--self-signed", "--certificate", &certificate, "--certificate-key", &key];
    let rest = ["--store", store, "--operators", "operators"];
    let mut directory = fleet.start(&[&listen[..], &certificate, &rest].concat(), 0);
    let (url, pin) = (directory.value_of("clients: "), directory.value_of("pin "));
    (directory, url, pin.parse().unwrap())
}

#[test]
#[ignore = "long: a step of `cargo xtask ci full`"]
fn a_fleet_lives_through_a_day() {
    let mut day = Day::begin();
    day.all_is_well("the morning; clocks five years off on 20 devices and on one of two directories");
    let key = day.current_key();
    assert!(day.is_served(&key, Some("proxy.key")));
    assert!(!day.is_served(&key, Some("stranger.key")) && !day.is_served(&key, None));

    rotation(&mut day);
    theft_of_the_servers_key(&mut day);
    restored_backup(&mut day);
    theft_of_the_directorys_key(&mut day);
    mistakes(&mut day);
    too_few_files(&mut day);
    hostile_neighbours(&mut day);
    day.end();
}

/// Nobody notices.
fn rotation(day: &mut Day) {
    day.figures();
    let times = ["--activation-delay", "3s", "--grace-period", "6s"];
    let key = day.fleet.stdout(&[&["keys", "rotate", "keys.json"], &times[..]].concat()).trim().to_owned();
    wait_for("the new key is in force, and the old one over", || {
        let show = day.fleet.stdout(&["keys", "show", "keys.json"]);
        day.current_key() == key && !show.contains("previous")
    });
    day.all_is_well("rotation");
}

/// The old key ends everywhere at once.
fn theft_of_the_servers_key(day: &mut Day) {
    let stolen = day.current_key();
    day.fleet.stdout(&["keys", "rotate", "keys.json", "--compromised"]);
    wait_for("the stolen key is refused", || !day.is_served(&stolen, Some("proxy.key")));
    day.all_is_well("theft of the server's key");
    let key: PublicKey = day.current_key().parse().unwrap();
    assert!(day.devices.iter().all(|device| device.client.server_key() == key));
}

/// The schedule comes back as it was, with a lower generation, and clients refuse it until the
/// operator says that it is meant.
fn restored_backup(day: &mut Day) {
    std::fs::copy(day.fleet.path("keys.json"), day.fleet.path("backup.json")).unwrap();
    day.fleet.stdout(&["keys", "rotate", "keys.json", "--compromised"]);
    day.all_is_well("one more rotation, after the backup");
    let (lost, generation) = (day.current_key(), day.generation());
    let backup = std::fs::read_to_string(day.fleet.path("backup.json")).unwrap();
    rewrite(day, "keys.json", &backup);
    assert!(day.generation() < generation);
    wait_for("the key that is not in the backup is refused", || !day.is_served(&lost, Some("proxy.key")));
    day.fleet.stdout(&["keys", "take-over", "keys.json", "--above", &generation.to_string()]);
    day.all_is_well("a schedule from a backup, and take-over");
}

/// The thief shows keys of its own under the directory's name. A new certificate and a higher
/// generation end that.
fn theft_of_the_directorys_key(day: &mut Day) {
    for (from, to) in [("directory.crt", "thief.crt"), ("directory.key", "thief.key")] {
        std::fs::copy(day.fleet.path(from), day.fleet.path(to)).unwrap();
    }
    let false_key = day.fleet.stdout(&["keys", "init", "thief.json"]).trim().to_owned();
    day.fleet.stdout(&["keys", "take-over", "thief.json", "--above", "1000"]);
    let (thief, thiefs_url, _) = start_directory(&day.fleet, &day.store, "thief.json", "thief");
    let (url, pin) = (day.url.clone(), day.pin.to_string());
    let fleet = Fleet::new();
    // A key document holds a server's key as digits.
    let comes_to_hold = |url: &str, pin: &str, key: &str| {
        let request = ["request", "--server", "127.0.0.1:9", "--directory", url, "--pin", pin, "--key-cache", "cache"];
        let digits = format!("{:x}", key.parse::<PublicKey>().unwrap());
        wait_for("the client has the directory's key", || {
            fleet.output(&[&request[..], &["--timeout", "0.2", "x"]].concat(), "");
            std::fs::read_to_string(fleet.path("cache")).is_ok_and(|cache| cache.contains(&digits))
        });
    };
    // A captured client has the thief's key, and refuses the true directory.
    comes_to_hold(&thiefs_url, &pin, &false_key);

    // The operator makes a new certificate and a higher generation, and gives out the new pin.
    for file in ["directory.crt", "directory.key"] {
        std::fs::remove_file(day.fleet.path(file)).unwrap();
    }
    day.fleet.stdout(&["keys", "take-over", "keys.json", "--above", "2000"]);
    let (directory, new_url, new_pin) = start_directory(&day.fleet, &day.store, "keys.json", "directory");
    assert_ne!(new_pin, day.pin);
    let new_pin = new_pin.to_string();
    let said = fleet.refusal(&["keys", "fetch", "--directory", &thiefs_url, "--pin", &new_pin]);
    assert!(said.contains(&format!("its certificate has the pin {pin}, not {new_pin}")), "{said}");
    assert_eq!(fleet.stdout(&["keys", "fetch", "--directory", &new_url, "--pin", &new_pin]).trim(), day.current_key());
    // Even the captured client comes back.
    let expire = std::fs::read_to_string(fleet.path("cache")).unwrap();
    let refresh_at = expire.lines().find(|line| line.contains("refresh_at")).unwrap();
    let past = expire.replace(refresh_at, "  \"refresh_at\": \"2000-01-02T00:00:00Z\",");
    let issued = past.lines().find(|line| line.contains("\"issued\"")).unwrap().to_owned();
    fleet.write("cache", &past.replace(&issued, "  \"issued\": \"2000-01-01T00:00:00Z\","));
    comes_to_hold(&new_url, &new_pin, &day.current_key());
    thief.stop();
    directory.stop();
    // The devices of before have the keys that they hold, and are served.
    assert_eq!(day.url, url);
    day.all_is_well("theft of the directory's key");
}

/// Replaces what is in a file, and keeps its mode.
fn rewrite(day: &Day, name: &str, contents: &str) {
    let path = day.fleet.path(name);
    let permissions = std::fs::metadata(&path).unwrap().permissions();
    day.fleet.write(name, contents);
    std::fs::set_permissions(&path, permissions).unwrap();
}

fn mistakes(day: &mut Day) {
    // Emptied files change nothing, and show.
    let keys = std::fs::read_to_string(day.fleet.path("keys.json")).unwrap();
    let operators = std::fs::read_to_string(day.fleet.path("operators")).unwrap();
    rewrite(day, "keys.json", "");
    rewrite(day, "operators", "");
    let refused = |day: &mut Day| samples(&mut day.gateways[0])["pssst_file_refused{file=\"keys.json\"}"];
    wait_for("the emptied schedule shows", || refused(day) > 0.0);
    day.all_is_well("emptied files");
    rewrite(day, "keys.json", &keys);
    rewrite(day, "operators", &operators);
    wait_for("the schedule is back", || refused(day) < 1.0);

    // A full disk leaves the schedule as it was.
    let rotate = day.fleet.command(&["keys", "rotate", "keys.json"]);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "sh"]).arg(rotate.get_program());
    let full = shell.args(rotate.get_args()).current_dir(day.fleet.path("")).output().unwrap();
    assert_eq!(full.status.code(), Some(1), "{}", String::from_utf8_lossy(&full.stderr));
    assert_eq!(std::fs::read_to_string(day.fleet.path("keys.json")).unwrap(), keys);
    day.all_is_well("a full disk");

    // An operator who is struck out cannot come back; a client that is revoked is refused at once.
    day.fleet.stdout(&["operator", "remove", "alice", "--file", "operators"]);
    assert_eq!(day.fleet.stdout(&["operator", "list", "--file", "operators"]), "");
    let store = day.store.clone();
    day.fleet.stdout(&["clients", "add", "stranger", "stranger.pub", "--store", &store]);
    let key = day.current_key();
    wait_for("the new client is served", || day.is_served(&key, Some("stranger.key")));
    day.fleet.stdout(&["clients", "revoke", "stranger", "--store", &store]);
    wait_for("the revoked client is refused", || !day.is_served(&key, Some("stranger.key")));
    wait_for("operators see it", || day.fleet.stdout(&["clients", "refused", "--store", &store]).contains("stranger "));
    day.all_is_well("a revoked operator and a revoked client");
    assert!(samples(&mut day.gateways[1])["pssst_server_replies_total{repeated=\"false\"}"] > 100.0);
}

/// A third gateway may open too few files for its requests: that is not the service's failure.
fn too_few_files(day: &mut Day) {
    let args = ["gateway", "--listen", "127.0.0.1:0", "--keys", "keys.json", "--clients", &day.store];
    let gateway = day.fleet.command(&[&args[..], &["--upstream", &day.upstream, "--workers", "1"], &METRICS].concat());
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "ulimit -n 48; exec \"$@\"", "sh"]).arg(gateway.get_program()).args(gateway.get_args());
    let mut gateway = Process::spawn(shell.current_dir(day.fleet.path("")).stdin(Stdio::null()));
    let address = gateway.value_of("listening on ");
    let key: PublicKey = day.current_key().parse().unwrap();
    let client = day.runtime.block_on(async {
        let client = Client::builder(key).identity(&pssst_test::secret(2));
        client.timeout(Duration::from_secs(3)).connect(&address).await.unwrap()
    });
    let asking: Vec<_> = (0..100)
        .map(|_| {
            let client = client.clone();
            day.runtime.spawn(async move { client.request("slow").await.is_ok() })
        })
        .collect();
    for answer in asking {
        assert!(!day.runtime.block_on(answer).unwrap());
    }
    assert!(day.runtime.block_on(client.request("hello")).is_ok());
    let shown = samples(&mut gateway);
    assert!(shown["pssst_gateway_requests_total{outcome=\"local_shortage\"}"] > 0.0, "{shown:?}");
    assert!(shown["pssst_gateway_circuit_open"] < 1.0, "{shown:?}");
    let said = gateway.stop();
    assert!(said.contains("local_shortage"), "{said}");
    day.all_is_well("too few files");
}

fn hostile_neighbours(day: &mut Day) {
    // An enrolled client floods the first gateway with what the service never answers.
    let address = day.gateways[0].value_of("listening on ");
    let hostile = day.devices[0].client.server_key();
    let secret = pssst_test::secret(1);
    day.figures();
    let client = day.runtime.block_on(async {
        let client = Client::builder(hostile.clone()).identity(&secret);
        client.timeout(Duration::from_secs(3)).connect(&address).await.unwrap()
    });
    let flood: Vec<_> = (0..500)
        .map(|_| {
            let client = client.clone();
            day.runtime.spawn(async move { client.request("slow").await.is_ok() })
        })
        .collect();
    // A stranger sends junk, packets with keys of its own, and opens every connection that it can.
    let metrics = day.gateways[0].value_of("metrics at http://");
    let metrics = metrics.split('/').next().unwrap().to_owned();
    let connections: Vec<_> = (0..200).filter_map(|_| std::net::TcpStream::connect(&metrics).ok()).collect();
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let unknown = SecretKey::generate(&mut pssst::SysRng).unwrap();
    let unknown = pssst::Client::new(hostile).unwrap().with_identity(&unknown).unwrap();
    for turn in 0..2000 {
        let (packet, _) = unknown.seal_request_to_vec(&mut pssst::SysRng, b"hello").unwrap();
        drop(stranger.send_to(&packet, &address));
        drop(stranger.send_to(&[0; 100], &address));
        if turn % 10 == 0 {
            thread::sleep(Duration::from_millis(10));
        }
    }
    for answer in flood {
        assert!(!day.runtime.block_on(answer).unwrap());
    }
    drop(connections);
    let Figures { asked, answered } = day.figures();
    println!("        under attack: {answered} of {asked} answered");
    assert!(answered * 100 >= asked * 90, "{answered} of {asked}");
    let shown = samples(&mut day.gateways[0]);
    assert!(shown["pssst_gateway_circuit_open"] < 1.0, "{shown:?}");
    day.all_is_well("a hostile client and a hostile stranger");
}
