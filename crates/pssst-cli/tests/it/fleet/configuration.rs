//! Configuration files, the environment and flags, and all that can be wrong with a file.

use crate::fleet::process::Fleet;

/// A file, the line that is wrong (0: none), and words of what is said of it and of what to do
/// about it.
type Bad = (&'static str, usize, &'static str, &'static str);

const BAD: [Bad; 50] = [
    // Not TOML.
    ("[serve", 1, "unclosed table", "[gateway]"),
    ("[serve]\nlisten 127.0.0.1:1", 2, "", "quotes"),
    ("[serve]\nlisten = 127.0.0.1:1", 2, "", "quotes"),
    ("[serve]\nlisten = \"127.0.0.1:1", 2, "", "quotes"),
    ("[serve]\nworkers = ", 2, "", "quotes"),
    ("[serve]\nsecret-key = [\"a\", \"b\"", 2, "", "square brackets"),
    ("[serve]\nworkers = 1\nworkers = 2", 3, "duplicate key", ""),
    ("[serve]\nworkers = 1\n[serve]\nmemo = 1", 3, "duplicate key", ""),
    ("\u{0}", 1, "", ""),
    // Tables and keys.
    ("", 0, "configures no service", "[gateway]"),
    ("listen = \"127.0.0.1:1\"", 1, "\"listen\" is not in a table", "[serve]"),
    ("[server]\nworkers = 1", 1, "there is no table [server]", "did you mean [serve]?"),
    ("[Gateway]\nworkers = 1", 1, "there is no table [Gateway]", "did you mean [gateway]?"),
    ("[serve]\n\nlisten_on = \"127.0.0.1:1\"", 3, "serve has no option \"listen_on\"", "did you mean \"listen\"?"),
    ("[serve]\nsecret_key = \"a\"", 2, "serve has no option \"secret_key\"", "did you mean \"secret-key\"?"),
    ("[serve]\nmax-datagramm = 99", 2, "\"max-datagramm\"", "did you mean \"max-datagram\"?"),
    ("[proxy]\nidentiy = \"a\"", 2, "proxy has no option \"identiy\"", "did you mean \"identity\"?"),
    ("[gateway]\nup-stream = \"http://localhost\"", 2, "\"up-stream\"", "did you mean \"upstream\"?"),
    ("[directory]\nadmin = \"127.0.0.1:1\"", 2, "\"admin\"", "did you mean \"admin-listen\"?"),
    ("[serve]\nconfig = \"other.toml\"", 2, "serve has no option \"config\"", ""),
    // Kinds of values.
    ("[serve]\nlisten = true", 2, "listen takes a value, not true or false", "ADDR:PORT"),
    ("[serve]\nlisten = 2026-11-23", 2, "listen cannot be a date", "ADDR:PORT"),
    ("[serve.listen]\nport = 1", 1, "listen cannot be a table", "ADDR:PORT"),
    ("[serve]\nlisten = [\"127.0.0.1:1\", \"127.0.0.1:2\"]", 2, "listen takes a single value", "ADDR:PORT"),
    ("[serve]\nsecret-key = [[\"a\"]]", 2, "secret-key cannot be a list with elements that are not texts", "FILE"),
    ("[serve]\nverbose = \"yes\"", 2, "verbose must be true or false", "true or false"),
    // Values.
    (
        "[serve]\nlisten = \"127.0.0.1\"",
        2,
        "listen: \"127.0.0.1\" is refused: give an address of this machine and a port",
        "ADDR:PORT",
    ),
    ("[serve]\nworkers = 0", 2, "workers: \"0\" is refused: 0 is not in 1..=1024", "N"),
    ("[serve]\nmax-datagram = 51", 2, "51 is not in 52..=65507", "BYTES"),
    ("[serve]\nsuite = [\"f002\", \"2\"]", 2, "suite: \"2\" is refused: it is none of 1, f002, f003", "SUITE"),
    ("[serve]\ndrain = \"soon\"", 2, "drain: \"soon\" is refused: give a time span", "SPAN"),
    ("[gateway]\nupstream = \"ftp://localhost\"", 2, "upstream: \"ftp://localhost\" is refused", "URL"),
    ("[gateway]\nupstream = \"http://localhost\"\nhttp-version = 3", 3, "http-version: \"3\" is refused", "VERSION"),
    // What fits only together, and what is named.
    (
        "[gateway]\nsecret-key = \"server.key\"\nupstream = \"http://user:secret@localhost\"\nanonymous = \"allow\"",
        3,
        "must not contain a user or password",
        "--authorization-file",
    ),
    (
        "[gateway]\nsecret-key = \"server.key\"\nupstream = \"http://localhost\"\nprefix-client-key = true\nanonymous = \"allow\"",
        4,
        "not put before messages over HTTP",
        "omit it",
    ),
    (
        "[proxy]\nserver-key = \"client.pub\"\nserver = \"localhost\"",
        3,
        "localhost is not a server address",
        "localhost:45678",
    ),
    (
        "[proxy]\nserver-key = \"client.pub\"\nserver = \"localhost:1\"\nlisten = \"0.0.0.0:1\"",
        4,
        "0.0.0.0:1 is not a loopback address",
        "--allow-other-hosts",
    ),
    (
        "[proxy]\nserver-key = \"client.pub\"\nserver = \"localhost:1\"\nmax-datagram = 92\nidentity = \"server.key\"",
        4,
        "no room for a message",
        "92 bytes longer",
    ),
    (
        "[directory]\nstore = \"sqlite:a\"\nkeys = \"keys.json\"\ncertificate = \"none.crt\"\ncertificate-key = \"none.key\"",
        4,
        "none.crt and none.key: ",
        "check the path",
    ),
    (
        "[directory]\nstore = \"sqlite:a\"\nkeys = \"keys.json\"\nself-signed = true\nclient-ca = \"server.pub\"",
        5,
        "server.pub: ",
        "",
    ),
    (
        "[gateway]\nsecret-key = \"server.key\"\nupstream = \"https://localhost\"\nupstream-ca = \"none.pem\"\nanonymous = \"allow\"",
        4,
        "the authorities cannot be read",
        "PEM file",
    ),
    (
        "[serve]\nsecret-key = \"server.key\"\nsuite = \"f003\"",
        3,
        "suite f003 is enabled without a key of suite f003",
        "second --secret-key",
    ),
    (
        "[serve]\nkeys = \"keys.json\"\nsuite = \"f003\"",
        3,
        "suite f003 is enabled without a key of suite f003",
        "--only f003",
    ),
    ("[serve]\nsecret-key = \"-\"", 2, "standard input is not a regular file", "name of a file"),
    (
        "[proxy]\nserver = \"localhost:1\"\nserver-key = \"server.pub\"\nidentity = \"-\"",
        4,
        "standard input is not a regular file",
        "name of a file",
    ),
    (
        "[proxy]\nserver = \"localhost:1\"\nserver-key = \"-\"",
        3,
        "standard input is not a regular file",
        "name of a file",
    ),
    ("[serve]\nworkers = 1", 0, "--secret-key <FILE>", "put it in the file"),
    ("[serve]\nsecret-key = \"server.key\"\nkeys = \"keys.json\"", 0, "cannot be used with", "give one of them"),
    ("[serve]\nworkers = 1\nsecret-key = \"none.key\"", 3, "cannot open none.key", "check the path"),
    ("[serve]\nsecret-key = \"server.key\"\nclients = \"mysql://db\"", 3, "not a location of clients", "postgres://"),
];

#[test]
fn what_is_wrong_with_a_file_is_told_with_its_line_and_its_remedy() {
    let fleet = Fleet::new();
    fleet.write("server.pub", &fleet.stdout(&["keygen", "--out", "server.key"]));
    fleet.write("client.pub", &fleet.stdout(&["keygen", "--out", "client.key"]));
    fleet.stdout(&["keys", "init", "keys.json"]);
    for (contents, line, what, remedy) in BAD {
        fleet.write("bad.toml", contents);
        let output = fleet.output(&["config", "check", "bad.toml"], "");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && output.stdout.is_empty(), "{contents:?}: {said}");
        let (error, help) = said.trim().split_once("\n help: ").unwrap();
        let place = if line == 0 { "error: bad.toml".into() } else { format!("error: bad.toml:{line}: ") };
        assert!(error.starts_with(&place) && error.contains(what), "{contents:?}: {said}");
        assert!(help.contains(remedy) && !said.contains("panicked"), "{contents:?}: {said}");
        assert!(!said.contains("secret@"), "{contents:?}: {said}");
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let fleet = Fleet::new();
    let contents = "[serve]\nlisten = 1\nworkers = 1\nmemo = -1\nclients = \"clients.db\"\n\
                    [directory]\nstore = \"file:a\"\nlead = 7\noperators = \"none\"\n\
                    [gatway]\nupstream = \"http://localhost\"\n\
                    [proxy]\nserver = \"pool.example\"\nidentity = \"none.key\"\n\
                    [gateway]\nsecret-key = \"none.key\"\nupstream = \"http:/127.0.0.1\"";
    fleet.write("bad.toml", contents);
    let said = fleet.refusal_of_usage(&["config", "check", "bad.toml"]);
    let lines: Vec<_> =
        said.lines().filter_map(|line| line.strip_prefix("error: bad.toml:")?.split(':').next()).collect();
    assert_eq!(lines, ["10", "2", "4", "5", "8", "9", "7", "13", "14", "17", "16"], "{said}");
    for expected in [
        "bad.toml [serve]: the following required arguments were not provided: <--secret-key <FILE>|--keys",
        "bad.toml [directory]: the following required arguments were not provided: --keys <FILE>",
        "bad.toml [proxy]: no server key",
    ] {
        assert!(said.contains(expected), "{said}");
    }
    assert!(!said.contains("stand-in") && said.matches("error: bad.toml").count() == lines.len() + 4, "{said}");
    // A service says its own part, and does not start.
    fleet.write("bad.toml", "[serve]\nlisten = 1\nworkers = 1\nmemo = -1\n");
    let said = fleet.refusal_of_usage(&["serve", "--config", "bad.toml"]);
    assert_eq!(said.matches("error: ").count(), 2, "{said}");
}

/// Nothing waits for a pipe, and nothing that is read again may be one.
#[test]
fn pipes_are_no_files() {
    let fleet = Fleet::new();
    fleet.stdout(&["keygen", "--out", "server.key"]);
    assert!(std::process::Command::new("mkfifo").arg(fleet.path("pipe")).status().unwrap().success());
    for args in [
        &["config", "check", "pipe"][..],
        &["serve", "--config", "pipe"],
        &["serve", "--secret-key", "pipe"],
        &["gateway", "--secret-key", "server.key", "--upstream", "http://localhost", "--authorization-file", "pipe"],
    ] {
        let said = fleet.refusal_of_usage(args);
        assert!(said.contains("pipe is not a regular file"), "{args:?}: {said}");
    }
    // Nor does it hold up a service whose configuration becomes one.
    fleet.write("pssst.toml", "[serve]\nsecret-key = \"server.key\"\nlisten = \"127.0.0.1:0\"");
    let server = fleet.start(&["serve", "--config", "pssst.toml", "--reload-interval", "1s"], 2);
    std::fs::rename(fleet.path("pipe"), fleet.path("pssst.toml")).unwrap();
    server.signal("HUP");
    server.wait_for_stderr("pssst.toml is not a regular file", 1);
    let said = server.stop();
    assert!(said.contains("pssst.toml is not a regular file"), "{said}");
}

/// What machines read has what is wrong in it, whatever the level.
#[test]
fn what_is_wrong_is_logged_at_every_level() {
    let fleet = Fleet::new();
    let key = ["--secret-key", "none.key", "--log-format", "json", "--log-level", "error"];
    let said = fleet.refusal_of_usage(&[&["serve"][..], &key].concat());
    let line: serde_json::Value = serde_json::from_str(said.trim()).unwrap();
    assert!(line["level"] == "ERROR" && line["message"].as_str().unwrap().contains("cannot open none.key"), "{said}");
}

#[test]
fn a_file_that_is_right_is_said_to_be() {
    let fleet = Fleet::new();
    fleet.stdout(&["keygen", "--out", "server.key"]);
    let said = "[serve]\nsecret-key = [\"server.key\"]\nlisten = '[::]:1'\nverbose = false\nmax-datagram = 1_232\n";
    fleet.write("good.toml", said);
    assert_eq!(fleet.stdout(&["config", "check", "good.toml"]), "good.toml is right: [serve]\n");
}

/// As Compose passes variables that have no value.
#[test]
fn empty_variables_count_as_none_and_others_are_named() {
    let fleet = Fleet::new();
    fleet.stdout(&["keygen", "--out", "server.key"]);
    let serve = ["serve", "--secret-key", "server.key", "--listen", "127.0.0.1:0"];
    let empty = ["CONFIG", "CLIENTS", "RATE_LIMIT", "METRICS", "VERBOSE", "OTLP_ENDPOINT", "WORKERS"];
    let empty = empty.map(|name| format!("PSSST_{name}"));
    let empty: Vec<_> = empty.iter().map(|name| (name.as_str(), "")).collect();
    fleet.start_in(&empty, &serve, 2).stop();
    for (value, args, place) in [
        ("garbage", &serve[..3], "'--workers (from the environment: PSSST_WORKERS)'"),
        ("garbage", &[&serve[..], &["--workers", "0"]].concat(), "'--workers <N>'"),
    ] {
        let output = fleet.command(args).env("PSSST_WORKERS", value).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && said.contains(place), "{said}");
    }
    // Also where a command takes one.
    let output = fleet.command(&["clients", "list"]).env("PSSST_STORE", "").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("--store <LOCATION>"), "{said}");
}

#[test]
fn flags_are_stronger_than_the_environment_and_that_is_stronger_than_the_file() {
    let fleet = Fleet::new();
    fleet.stdout(&["keygen", "--out", "server.key"]);
    fleet.write("pssst.toml", "[serve]\nsecret-key = \"server.key\"\nlisten = \"127.0.0.2:0\"\nverbose = true\n");
    let serve = ["serve", "--config", "pssst.toml"];
    let address = |environment: &[(&str, &str)], more: &[&str]| {
        let mut server = fleet.start_in(environment, &[&serve, more].concat(), 2);
        let address = server.value_of("listening on ");
        server.stop();
        address.split(':').next().unwrap().to_owned()
    };
    let environment = [("PSSST_LISTEN", "127.0.0.3:0")];
    assert_eq!(address(&[], &[]), "127.0.0.2");
    assert_eq!(address(&environment, &[]), "127.0.0.3");
    assert_eq!(address(&environment, &["--listen", "127.0.0.4:0"]), "127.0.0.4");
    assert_eq!(address(&[("PSSST_CONFIG", "pssst.toml"), ("PSSST_VERBOSE", "false")], &[]), "127.0.0.2");

    // The file may be named by the environment, too.
    let mut server = fleet.start_in(&[("PSSST_CONFIG", "pssst.toml")], &["serve"], 2);
    assert!(server.value_of("listening on ").starts_with("127.0.0.2:"));
    // A fault in the environment is not reported as one of the file.
    let output = fleet.start_in(&[("PSSST_WORKERS", "many")], &serve, 0).wait().1;
    assert!(
        output.contains("invalid value 'many' for '--workers <N>'") && !output.contains("error: pssst.toml"),
        "{output}"
    );
}

/// Some editors put a byte-order mark before a text.
#[test]
fn byte_order_marks_change_nothing() {
    let fleet = Fleet::new();
    let key = fleet.stdout(&["keygen", "--out", "server.key"]);
    let client = fleet.stdout(&["keygen", "--out", "client.key"]);
    fleet.stdout(&["keys", "init", "keys.json"]);
    fleet.write("server.pub", &key);
    fleet.write(
        "pssst.toml",
        "[serve]\nsecret-key = \"server.key\"\nclients = \"file:clients\"\nlisten = \"127.0.0.1:0\"\n",
    );
    fleet.write("clients.jsonl", &format!("{{\"name\":\"boiler-7\",\"key\":\"{}\"}}\n", client.trim()));
    let mark = |name: &str| {
        let text = std::fs::read(fleet.path(name)).unwrap();
        // Written into the file, which keeps its mode.
        std::fs::write(fleet.path(name), [b"\xef\xbb\xbf", &text[..]].concat()).unwrap();
    };
    for name in ["server.key", "client.key", "keys.json", "server.pub", "pssst.toml", "clients.jsonl"] {
        mark(name);
    }
    fleet.stdout(&["clients", "import", "clients.jsonl", "--store", "file:clients"]);
    mark("clients");
    assert_eq!(fleet.stdout(&["pubkey", "server.key"]), key);
    fleet.stdout(&["keys", "show", "keys.json"]);
    fleet.stdout(&["config", "check", "pssst.toml"]);
    let mut server = fleet.start(&["serve", "--config", "pssst.toml"], 2);
    let address = server.value_of("listening on ");
    let request = ["request", "--server", &address, "--server-key", "server.pub", "--identity", "client.key", "hello"];
    assert_eq!(fleet.stdout(&request), "hello");
}

/// The options of a written file that are required, uncommented.
fn uncomment_required(text: &str) -> String {
    let mut is_required = false;
    let lines = text.lines().map(|line| {
        if line.starts_with("# Required") || line.starts_with("# Not required") {
            is_required = line.starts_with("# Required");
        }
        match line.strip_prefix('#') {
            Some(option) if is_required && option.starts_with(|first: char| first.is_ascii_lowercase()) => option,
            _ => line,
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_written_file_is_right_once_what_is_required_is_uncommented() {
    let fleet = Fleet::new();
    fleet.generate_keys(&["server", "client"]);
    fleet.stdout(&["keys", "init", "keys.json"]);
    fleet.stdout(&["clients", "add", "one", "client.pub", "--store", "sqlite:clients.db"]);
    fleet.stdout(&["config", "init", "serve", "gateway", "proxy", "directory"]);
    let written = std::fs::read_to_string(fleet.path("pssst.toml")).unwrap();
    let before = fleet.refusal_of_usage(&["config", "check", "pssst.toml"]);
    assert_eq!(before.matches("not provided: ").count(), 4, "{before}");
    let here = format!("{}/", fleet.path("").display().to_string().trim_end_matches('/'));
    let filled = uncomment_required(&written).replace("/etc/pssst/", &here).replace("/var/lib/pssst/", &here);
    fleet.write("filled.toml", &filled);
    assert_eq!(
        fleet.stdout(&["config", "check", "filled.toml"]),
        "filled.toml is right: [serve], [gateway], [proxy], [directory]\n"
    );
    assert!(written.lines().all(|line| line.len() <= 100 || !line.starts_with("# ")), "{written}");
    // Nothing is overwritten.
    let said = fleet.refusal(&["config", "init", "serve"]);
    assert!(said.contains("pssst.toml exists already"), "{said}");
    let said = fleet.refusal_of_usage(&["config", "init", "sevre", "--out", "-"]);
    assert!(said.contains("there is no service \"sevre\""), "{said}");
}

#[test]
fn the_values_in_force_are_shown_with_their_sources() {
    let fleet = Fleet::new();
    fleet.write(
        "pssst.toml",
        "[serve]\nsecret-key = [\"a.key\", \"b.key\"]\n\nlisten = \"127.0.0.2:1\"\nworkers = 2\nverbose = false\n\
         clients = \"postgres://u:hunter2@localhost/db?password=hunter3\"\n",
    );
    let show = |args: &[&str]| {
        let args = [&["config", "show", "serve", "--config", "pssst.toml"], args].concat();
        let output = fleet.command(&args).env("PSSST_WORKERS", "3").env("PSSST_RATE_LIMITT", "3").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        assert!(
            said.contains("no option reads the variable PSSST_RATE_LIMITT: did you mean PSSST_RATE_LIMIT?"),
            "{said}"
        );
        String::from_utf8(output.stdout).unwrap()
    };
    let text = show(&["--max-datagram", "1500"]);
    for (option, source) in [
        ("secret-key = [\"a.key\", \"b.key\"]", "pssst.toml:2"),
        ("listen = \"127.0.0.2:1\"", "pssst.toml:4"),
        ("workers = 3", "PSSST_WORKERS"),
        ("verbose = false", "pssst.toml:6"),
        ("max-datagram = 1500", "--max-datagram"),
        ("reply-cache = 16", "default"),
        ("# rate-limit is not set", "default"),
        ("clients = \"postgres://u:***@localhost/db?password=***\"", "pssst.toml:7"),
    ] {
        let found = text.lines().any(|line| line.starts_with(option) && line.ends_with(&format!(" # {source}")));
        assert!(found, "{option} # {source}: {text}");
    }
    assert!(!text.contains("hunter"), "{text}");
    let object: serde_json::Value = serde_json::from_str(&show(&["--json"])).unwrap();
    let option = |name: &str| {
        let options = object["options"].as_array().unwrap();
        options.iter().find(|option| option["name"] == name).unwrap().clone()
    };
    assert_eq!(
        option("listen"),
        serde_json::json!({ "name": "listen", "value": "127.0.0.2:1", "source": "file", "line": 4 })
    );
    assert_eq!(
        (&option("verbose")["value"], &option("rate-limit")["value"]),
        (&false.into(), &serde_json::Value::Null)
    );
    assert_eq!(option("workers")["source"], "environment");
    // What it prints is a configuration.
    fleet.write("shown.toml", &text.replace("a.key", "server.key"));
    fleet.generate_keys(&["server", "b"]);
    assert_eq!(fleet.stdout(&["config", "check", "shown.toml"]), "shown.toml is right: [serve]\n");
    let said = fleet.refusal_of_usage(&["config", "show", "serv"]);
    assert!(said.contains("there is no service \"serv\""), "{said}");
}

#[test]
fn variables_that_no_option_reads_are_warned_of() {
    let fleet = Fleet::new();
    fleet.stdout(&["keygen", "--out", "server.key"]);
    let variables = [("PSSST_LISTENN", "127.0.0.1:1"), ("PSSST_PORT", "udp://10.0.0.1:45678"), ("PSSST_STORE", "x")];
    let serve = ["serve", "--secret-key", "server.key", "--listen", "127.0.0.1:0"];
    let said = fleet.start_in(&variables, &serve, 2).stop();
    assert!(said.contains("no option reads the variable PSSST_LISTENN: did you mean PSSST_LISTEN?"), "{said}");
    assert_eq!(said.matches("no option reads").count(), 1, "{said}");
}
