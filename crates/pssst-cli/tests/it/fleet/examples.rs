//! The examples of every command's help, each run as it stands, in a folder as its reader has it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pssst_test::Process;
use pssst_test::captures::{Endian, pcap, udp4};

use crate::fleet::process::{Fleet, start_directory};

/// Bare IP packets.
const LINKTYPE_RAW: u16 = 101;
const STORE: &str = "sqlite:clients.db";
const SERVICES: [&str; 4] = ["serve", "gateway", "proxy", "directory"];

#[test]
fn every_example_does_what_it_says() {
    let pool = Pool::start();
    let commands = commands(&pool.fleet, &[]);
    assert!(commands.len() > 50, "{commands:?}");
    let mut faults = Vec::new();
    for command in &commands {
        let examples = examples(&pool.fleet, command);
        assert!(!examples.is_empty(), "{command:?}");
        faults.extend(examples.iter().filter_map(|example| pool.try_out(example).err()));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

/// Returns the arguments of all commands, from their help.
fn commands(fleet: &Fleet, path: &[String]) -> Vec<Vec<String>> {
    let mut commands = vec![path.to_vec()];
    let help = help(fleet, path);
    // Names are indented by two, more text by more.
    let listed = help.lines().skip_while(|line| !line.starts_with("Usage:")).take_while(|line| *line != "Examples:");
    let is_list = |line: &&str| line.starts_with("  ") && line.as_bytes().get(2).is_some_and(u8::is_ascii_lowercase);
    if !help.lines().any(|line| line.starts_with("Usage:") && line.ends_with("<COMMAND>")) {
        return commands;
    }
    for name in listed.filter(is_list).filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help")
    {
        commands.extend(self::commands(fleet, &[path, &[name.to_owned()]].concat()));
    }
    commands
}

fn help(fleet: &Fleet, path: &[String]) -> String {
    let args: Vec<_> = path.iter().map(String::as_str).chain(["--help"]).collect();
    fleet.stdout(&args)
}

/// Returns the lines to type.
fn examples(fleet: &Fleet, path: &[String]) -> Vec<String> {
    let help = help(fleet, path);
    let mut examples: Vec<String> = Vec::new();
    for line in help.lines().skip_while(|line| *line != "Examples:").skip(1) {
        match line.strip_prefix("    ") {
            Some(more) => {
                let example = examples.last_mut().expect("a title stands before it");
                example.push_str(more);
                example.push('\n');
            }
            None => examples.push(String::new()),
        }
    }
    examples
}

/// What readers of the examples have: a pool with its directory, and the files that they made.
struct Pool {
    /// The folder of the services, which share nothing with the folders of the examples.
    fleet: Fleet,
    /// Files that every example finds.
    files: Vec<PathBuf>,
    texts: Vec<(&'static str, String)>,
    metrics: String,
    /// Of a token that nobody has used.
    token_id: String,
    _server: Process,
    _directory: Process,
}

impl Pool {
    fn start() -> Self {
        let fleet = Fleet::new();
        fleet.generate_keys(&["server", "client", "eight"]);
        let run = |line: &str| fleet.stdout(&line.split(' ').collect::<Vec<_>>());
        run("keys init keys.json --post-quantum");
        run("operator create alice --file operators.txt --out first.token");
        run("clients add boiler-8 eight.pub --store sqlite:clients.db --label site=north");
        // A database whose log was archived.
        run("token create --store sqlite:archived.db --out unused.token");
        run("token create --store sqlite:clients.db --out another.token");
        run("audit archive --store sqlite:archived.db --before 2999-01-01 --out audit-1.jsonl");
        let token_id = run("token list --store sqlite:clients.db").split(' ').next().unwrap().to_owned();
        fleet.write("clients.jsonl", &run("clients export --store sqlite:clients.db"));
        fleet.write("pssst.toml", "[serve]\nsecret-key = \"server.key\"\nmetrics = \"127.0.0.1:0\"\n");
        let packet = [&[0, 0, 0, 1][..], &[7; 60]].concat();
        let capture = pcap(LINKTYPE_RAW, &[udp4("10.0.0.1:1", "10.0.0.2:45678", &packet)], Endian::Little);
        std::fs::write(fleet.path("packets.pcap"), capture).unwrap();

        let (mut directory, url, pin) = start_directory(&fleet, &[]);
        let link = directory.value_of("link ");
        run("token create --store sqlite:clients.db --name boiler-7 --out seven.token");
        let enroll = format!("enroll --identity boiler.key --token seven.token --directory {url} --pin {pin}");
        run(&enroll);
        fleet.write("boiler.pub", &run("pubkey boiler.key"));
        let serve = "serve --listen 127.0.0.1:0 --metrics 127.0.0.1:0 --secret-key server.key";
        let mut server = fleet.start(&serve.split(' ').collect::<Vec<_>>(), 0);
        let (address, server_link) = (server.value_of("listening on "), server.value_of("link "));
        let metrics = server.value_of("metrics at http://").replace("/metrics", "");
        let texts = vec![
            ("pssst://pool.example…", server_link),
            ("pssst://keys.example…", link),
            ("pool.example:45678", address),
            ("https://keys.example:8443", url),
            ("sha256:HEX", pin),
        ];
        let files = std::fs::read_dir(fleet.path("")).unwrap().map(|entry| entry.unwrap().path()).collect();
        Self { fleet, files, texts, metrics, token_id, _server: server, _directory: directory }
    }

    /// Runs an example in a folder of its own.
    fn try_out(&self, example: &str) -> Result<(), String> {
        // A debug build seals slowly.
        let (whole, part) = ("pssst bench", "pssst bench --requests-prepared 500 --duration 300ms");
        let line = example.trim().replace("--duration 10s ", "").replace(whole, part);
        let line = self.texts.iter().fold(line, |line, (name, real)| line.replace(name, real));
        let folder = tempfile::tempdir().unwrap();
        self.fill(folder.path(), &line);
        let command =
            |line: &str| line.strip_prefix("pssst ").and_then(|rest| rest.split(' ').next().map(str::to_owned));
        let last = line.rsplit_once("&& ").map_or(line.as_str(), |(_, last)| last.trim());
        let is_service = command(last).is_some_and(|name| SERVICES.contains(&&*name));
        let mut bash = Command::new("bash");
        bash.current_dir(folder.path()).envs(self.variables(folder.path(), is_service)).stdin(Stdio::null());
        if !is_service {
            let output = bash.args(["-euo", "pipefail", "-c", &line]).output().unwrap();
            let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
            return if output.status.success() {
                Ok(())
            } else {
                Err(format!("{line}: {}\n{}", output.status, said.join("\n")))
            };
        }
        // The process that gets the signal is the service itself.
        let (before, service) = line.split_at(line.len() - last.len());
        let mut process = Process::spawn(bash.args(["-euc", &format!("{before}exec {service}")]));
        let serves = |line: String| line.starts_with("listening on ") || line.starts_with("clients: ");
        let begun = std::iter::from_fn(|| process.next_line()).any(serves);
        if begun {
            process.signal("TERM");
        }
        let (status, said) = process.wait();
        if status.success() && begun { Ok(()) } else { Err(format!("{line}: {status}\n{said}")) }
    }

    /// Copies the files, but those that the example makes.
    fn fill(&self, folder: &Path, line: &str) {
        let words: Vec<_> = line.split_whitespace().collect();
        let made: Vec<_> = words.windows(2).filter(|pair| ["--out", "init"].contains(&pair[0])).collect();
        for path in &self.files {
            let name = path.file_name().unwrap();
            if !made.iter().any(|made| made[1] == name) {
                // With its mode.
                std::fs::copy(path, folder.join(name)).unwrap();
            }
        }
        if line.contains("--token") || line.contains("link link") {
            // Each is good for one device.
            let store = ["--store", STORE];
            let create = |out: &str| {
                let path = folder.join(out);
                // No other device has the name.
                let name = folder.file_name().unwrap().to_str().unwrap().trim_start_matches('.');
                let args = ["token", "create", "--name", name, "--out", path.to_str().unwrap()];
                let options = ["--link", &self.texts[1].1];
                let linked = if out == "link" { &options[..] } else { &[] };
                self.fleet.stdout(&[&args[..], &store, linked].concat());
            };
            ["token", "link"].into_iter().for_each(create);
        }
    }

    fn variables(&self, folder: &Path, is_service: bool) -> Vec<(&'static str, String)> {
        let program = Path::new(env!("CARGO_BIN_EXE_pssst")).parent().unwrap();
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
        let mut variables = vec![("PATH", path), ("HOME", folder.display().to_string())];
        if is_service {
            variables.extend(
                ["PSSST_LISTEN", "PSSST_ADMIN_LISTEN", "PSSST_METRICS"].map(|name| (name, "127.0.0.1:0".into())),
            );
        } else {
            variables.extend([("PSSST_METRICS", self.metrics.clone()), ("TOKEN_ID", self.token_id.clone())]);
        }
        variables
    }
}
