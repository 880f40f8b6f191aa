//! Examples of every command. A test runs each of them.
//!
//! `pool.example:45678`, `https://keys.example:8443`, `sha256:HEX` and links that end in `…` are
//! what the reader, and the test, has others for.

type Example = (&'static str, &'static str);

/// Returns the examples of a command by its path, such as `clients add`.
pub(super) fn of(path: &str) -> Option<&'static [Example]> {
    PATHS.iter().find_map(|(of, examples)| (*of == path).then_some(*examples))
}

/// Paths of commands, and for each what an example does and what to type.
pub(super) const PATHS: &[(&str, &[Example])] = &[
    (
        "",
        &[
            ("See the protocol at work", "pssst demo"),
            (
                "Serve an echo at port 45678 of this machine",
                "pssst keygen --out server.key && pssst serve --secret-key server.key",
            ),
            (
                "Send it a request, with the link that it printed",
                "pssst request --server 'pssst://pool.example…' hello",
            ),
        ],
    ),
    (
        "keygen",
        &[
            (
                "Create a server's or a client's key; the public key is printed",
                "pssst keygen --out server.key > server.pub",
            ),
            ("Create a server's key for the post-quantum suite", "pssst keygen --suite f003 --out server-pq.key"),
            ("Create a key for another implementation", "pssst keygen --format hex --out device.key"),
        ],
    ),
    (
        "pubkey",
        &[
            ("Print the public key, for operators and clients", "pssst pubkey client.key"),
            ("Print it as a PEM document, for OpenSSL", "pssst pubkey --pem server.key > server.pem"),
            ("Print the digits that other implementations read", "pssst pubkey --hex server.key"),
        ],
    ),
    (
        "serve",
        &[
            ("Answer everyone, at port 45678 of this machine", "pssst serve --secret-key server.key"),
            (
                "Answer enrolled clients only, and show metrics",
                "pssst serve --keys keys.json --clients sqlite:clients.db \\\n  --metrics 127.0.0.1:9100",
            ),
            ("Take the options from a file", "pssst serve --config pssst.toml"),
        ],
    ),
    (
        "gateway",
        &[
            (
                "Put it in front of an HTTP service, for enrolled clients",
                "pssst gateway --keys keys.json --clients sqlite:clients.db \\\n  --upstream http://127.0.0.1:8080/readings",
            ),
            (
                "Serve anonymous clients, with a service over UDP",
                "pssst gateway --secret-key server.key --anonymous allow \\\n  --upstream udp://127.0.0.1:5353",
            ),
            (
                "Deliver to a Unix socket, and never reply",
                "pssst gateway --secret-key server.key --anonymous allow \\\n  --upstream unix:/run/collector.sock --one-way",
            ),
        ],
    ),
    (
        "proxy",
        &[
            ("Let local programs send plain UDP to 127.0.0.1:45679", "pssst proxy --server 'pssst://pool.example…'"),
            (
                "As an enrolled client that follows the pool's keys",
                "pssst proxy --server pool.example:45678 --identity boiler.key \\\n  --psk boiler.psk --key-cache keys-cache.json \\\n  --directory https://keys.example:8443 --pin sha256:HEX",
            ),
        ],
    ),
    (
        "directory",
        &[
            (
                "Serve a pool's keys and enrol devices, with a certificate of its own",
                "pssst directory --keys keys.json --store sqlite:clients.db \\\n  --self-signed --certificate dir.crt --certificate-key dir.key",
            ),
            (
                "Let operators in, at https://127.0.0.1:8444",
                "pssst directory --keys keys.json --store sqlite:clients.db \\\n  --self-signed --operators operators.txt",
            ),
        ],
    ),
    (
        "doctor",
        &[
            ("Find out why nothing comes back from a server", "pssst doctor --server 'pssst://pool.example…'"),
            (
                "As an enrolled client, with the report as JSON",
                "pssst doctor --server pool.example:45678 --server-key server.pub \\\n  --identity client.key --json > report.json",
            ),
            ("Examine the services of a configuration, where they run", "pssst doctor --config pssst.toml"),
        ],
    ),
    (
        "status",
        &[
            ("Look at the service that shows its metrics at 127.0.0.1:9100", "pssst status"),
            ("Find the address in its configuration, and print JSON", "pssst status --config pssst.toml --json"),
        ],
    ),
    (
        "top",
        &[
            ("Watch the service that shows its metrics at 127.0.0.1:9100", "pssst top"),
            ("Print what the last second was like", "pssst top --once --interval 1s"),
        ],
    ),
    (
        "request",
        &[
            ("Send a message to the server that a link names", "pssst request --server 'pssst://pool.example…' hello"),
            (
                "Name the server and its key, and prove who you are",
                "pssst request --server pool.example:45678 --server-key server.pub \\\n  --identity client.key hello",
            ),
            (
                "Send what another program prints, and wait for two seconds",
                "printf 21.5 | pssst request --server 'pssst://pool.example…' --timeout 2s",
            ),
        ],
    ),
    (
        "bench",
        &[
            ("Measure for five seconds, with 64 requests in flight", "pssst bench --server 'pssst://pool.example…'"),
            (
                "Send 1,000 requests per second, and draw the latencies",
                "pssst bench --server 'pssst://pool.example…' --rate 1000 \\\n  --duration 10s --plot latency.svg",
            ),
            (
                "As an enrolled client, with the result as JSON",
                "pssst bench --server pool.example:45678 --server-key server.pub \\\n  --identity client.key --json > result.json",
            ),
        ],
    ),
    (
        "inspect",
        &[
            ("Show a packet", "pssst inspect 00000001621536c7058a50a4f4e83aeb3c960db1"),
            ("Show a capture as everyone on the path sees it", "pssst inspect --capture packets.pcap"),
            ("Decrypt it with the server's key", "pssst inspect --capture packets.pcap --secret-key server.key --json"),
        ],
    ),
    (
        "compat",
        &[
            ("Test this implementation against itself", "mkfifo back && pssst compat < back | pssst compat > back"),
            (
                "With requests of another suite",
                "mkfifo back &&\n  pssst compat -s f002 < back | pssst compat -s f002 > back",
            ),
        ],
    ),
    ("demo", &[("See a server, a client and an attacker", "pssst demo")]),
    (
        "keys",
        &[
            ("Begin a schedule, and rotate its keys", "pssst keys init pool.json && pssst keys rotate pool.json"),
            (
                "Show the current key of a pool, at its directory",
                "pssst keys fetch --directory 'pssst://keys.example…'",
            ),
        ],
    ),
    (
        "keys init",
        &[
            ("Begin with a new key", "pssst keys init keys.json"),
            ("Begin with the key of a server that has clients", "pssst keys init keys.json --secret-key server.key"),
            ("Begin with keys against quantum computers too", "pssst keys init keys.json --post-quantum"),
        ],
    ),
    (
        "keys show",
        &[
            ("List the keys with their states and times", "pssst keys show keys.json"),
            ("Print them as JSON", "pssst keys show keys.json --json"),
        ],
    ),
    (
        "keys rotate",
        &[
            ("Start a rotation: in an hour clients use a new key", "pssst keys rotate keys.json"),
            (
                "Give servers a day, and clients a month",
                "pssst keys rotate keys.json --activation-delay 1d --grace-period 30d",
            ),
            ("Replace stolen keys at once", "pssst keys rotate keys.json --compromised"),
        ],
    ),
    (
        "keys retire",
        &[
            ("Give up the keys of suite f003, in a week", "pssst keys retire keys.json f003"),
            ("Give up pre-shared keys, in a month", "pssst keys retire keys.json psk --grace-period 30d"),
        ],
    ),
    (
        "keys take-over",
        &[
            (
                "Use a restored schedule, where clients have seen generation 7",
                "pssst keys take-over keys.json --above 7",
            ),
            (
                "See first which generation the directory has",
                "pssst keys fetch --directory 'pssst://keys.example…' --json &&\n  pssst keys take-over keys.json --above 7",
            ),
        ],
    ),
    (
        "keys fetch",
        &[
            ("Print the current key", "pssst keys fetch --directory https://keys.example:8443 --pin sha256:HEX"),
            (
                "Write it to a file, for --server-key",
                "pssst keys fetch --directory 'pssst://keys.example…' --out pool.pub",
            ),
        ],
    ),
    (
        "clients",
        &[
            (
                "Enrol a client by its public key, and look at it",
                "pssst clients add meter-1 client.pub --store sqlite:clients.db &&\n  pssst clients show meter-1 --store sqlite:clients.db",
            ),
            ("Name the store once", "export PSSST_STORE=sqlite:clients.db && pssst clients list"),
        ],
    ),
    (
        "clients add",
        &[
            (
                "Enrol a client by the file of its public key",
                "pssst clients add meter-1 client.pub --store sqlite:clients.db",
            ),
            (
                "With labels, until the end of 2030",
                "pssst clients add meter-1 client.pub --store sqlite:clients.db \\\n  --label site=north --label room=7 --expires 2031-01-01",
            ),
        ],
    ),
    (
        "clients list",
        &[
            ("List all clients", "pssst clients list --store sqlite:clients.db"),
            (
                "Those that are suspended, with a label",
                "pssst clients list --store sqlite:clients.db --state suspended \\\n  --search site=north",
            ),
            ("All of them as JSON", "pssst clients list --store sqlite:clients.db --json"),
        ],
    ),
    (
        "clients refused",
        &[
            ("See which clients servers refuse, and why", "pssst clients refused --store sqlite:clients.db"),
            ("The last ten, as JSON", "pssst clients refused --store sqlite:clients.db --limit 10 --json"),
        ],
    ),
    (
        "clients show",
        &[
            ("Show a client by its name", "pssst clients show boiler-7 --store sqlite:clients.db"),
            ("Show it as JSON", "pssst clients show boiler-7 --store sqlite:clients.db --json"),
        ],
    ),
    (
        "clients suspend",
        &[
            ("Refuse a client for a while", "pssst clients suspend boiler-7 --store sqlite:clients.db"),
            ("Refuse two", "pssst clients suspend boiler-7 boiler-8 --store sqlite:clients.db"),
        ],
    ),
    (
        "clients resume",
        &[
            ("Serve a suspended client again", "pssst clients resume boiler-7 --store sqlite:clients.db"),
            ("Serve two again", "pssst clients resume boiler-7 boiler-8 --store sqlite:clients.db"),
        ],
    ),
    (
        "clients revoke",
        &[
            ("Refuse a lost or stolen client for ever", "pssst clients revoke boiler-7 --store sqlite:clients.db"),
            (
                "Refuse the client that has a key",
                "pssst clients revoke \"$(cat boiler.pub)\" --store sqlite:clients.db",
            ),
        ],
    ),
    (
        "clients remove",
        &[
            ("Delete a client, so that its name is free", "pssst clients remove boiler-7 --store sqlite:clients.db"),
            ("Delete two", "pssst clients remove boiler-7 boiler-8 --store sqlite:clients.db"),
        ],
    ),
    (
        "clients psk",
        &[
            (
                "Issue a pre-shared key to a client that was added by hand",
                "pssst clients psk boiler-8 --keys keys.json --store sqlite:clients.db",
            ),
            ("Serve the client without one again", "pssst clients psk boiler-7 --off --store sqlite:clients.db"),
        ],
    ),
    (
        "clients import",
        &[
            ("Add all clients of a file", "pssst clients import clients.jsonl --store sqlite:copy.db"),
            (
                "Add those that are not enrolled yet",
                "pssst clients import clients.jsonl --skip-known --store sqlite:clients.db",
            ),
        ],
    ),
    (
        "clients export",
        &[
            ("Write all clients to a file", "pssst clients export --store sqlite:clients.db > clients.jsonl"),
            (
                "Move them to another store",
                "pssst clients export --store sqlite:clients.db |\n  pssst clients import - --store file:clients.txt",
            ),
        ],
    ),
    (
        "token",
        &[
            (
                "Hand out a token, and see whether it was used",
                "pssst token create --store sqlite:clients.db --out token &&\n  pssst token list --all --store sqlite:clients.db",
            ),
            ("Print those that can be used as JSON", "pssst token list --store sqlite:clients.db --json"),
        ],
    ),
    (
        "token create",
        &[
            (
                "For the device boiler-9, within a day",
                "pssst token create --store sqlite:clients.db --name boiler-9 --out token",
            ),
            (
                "As a link that has the directory too",
                "pssst token create --store sqlite:clients.db --out link \\\n  --link 'pssst://keys.example…'",
            ),
            (
                "For a device that enrols within a month, with a label",
                "pssst token create --store sqlite:clients.db --valid 30d \\\n  --label site=north --out token",
            ),
        ],
    ),
    (
        "token list",
        &[
            ("List the tokens that can be used", "pssst token list --store sqlite:clients.db"),
            ("List all of them as JSON", "pssst token list --all --json --store sqlite:clients.db"),
        ],
    ),
    (
        "token withdraw",
        &[
            (
                "Revoke a token by the id that `pssst token list` shows",
                "pssst token withdraw \"$TOKEN_ID\" --store sqlite:clients.db",
            ),
            (
                "Revoke all that are unused",
                "pssst token list --store sqlite:clients.db | while read -r id rest; do\n  pssst token withdraw \"$id\" --store sqlite:clients.db\ndone",
            ),
        ],
    ),
    (
        "audit",
        &[
            ("See who did what", "pssst audit list --store sqlite:clients.db"),
            (
                "Move entries older than a year to a file",
                "pssst audit archive --before 365d --out audit-2026.jsonl \\\n  --store sqlite:clients.db",
            ),
        ],
    ),
    (
        "audit list",
        &[
            ("Print the last 100 entries", "pssst audit list --store sqlite:clients.db"),
            ("Print the last ten as JSON", "pssst audit list --limit 10 --json --store sqlite:clients.db"),
        ],
    ),
    (
        "audit archive",
        &[
            (
                "Move entries older than a year to a file",
                "pssst audit archive --before 365d --out audit-2026.jsonl \\\n  --store sqlite:clients.db",
            ),
            (
                "Move those from before 2026",
                "pssst audit archive --before 2026-01-01 --out audit-2025.jsonl \\\n  --store sqlite:clients.db",
            ),
        ],
    ),
    (
        "audit verify",
        &[
            ("Check that an archive is unchanged", "pssst audit verify audit-1.jsonl --store sqlite:archived.db"),
            ("Check all of them", "pssst audit verify audit-*.jsonl --store sqlite:archived.db"),
        ],
    ),
    (
        "link",
        &[
            ("Check a link, and show what it has", "pssst link 'pssst://pool.example…'"),
            ("Show it as a QR code", "pssst link 'pssst://pool.example…' --qr"),
            ("Look at one with a token, which only its file should have", "pssst link link --json"),
        ],
    ),
    (
        "enroll",
        &[
            (
                "Enrol with a token from a file; the device's key is created",
                "pssst enroll --identity device.key --token token \\\n  --directory https://keys.example:8443 --pin sha256:HEX",
            ),
            (
                "Enrol with a link that has the token and the directory",
                "pssst enroll --identity device.key --token link",
            ),
        ],
    ),
    (
        "renew",
        &[
            (
                "Renew the pre-shared key",
                "pssst renew --identity boiler.key --psk boiler.psk \\\n  --directory https://keys.example:8443 --pin sha256:HEX",
            ),
            (
                "With the directory's link",
                "pssst renew --identity boiler.key --psk boiler.psk \\\n  --directory 'pssst://keys.example…'",
            ),
        ],
    ),
    (
        "precompute",
        &[
            (
                "From the client's secret key and the server's public key",
                "pssst precompute --identity client.key --server-key server.pub \\\n  --out device.id",
            ),
            (
                "From the server's schedule and the client's public key",
                "pssst precompute --client client.pub --keys keys.json --out device.id",
            ),
        ],
    ),
    (
        "operator",
        &[
            (
                "Let alice in, with a token that goes to a file",
                "pssst operator create alice --file operators.txt --out alice.token",
            ),
            ("See who may come in", "pssst operator list --file operators.txt"),
        ],
    ),
    (
        "operator create",
        &[
            (
                "Let alice in, with a token that goes to a file",
                "pssst operator create alice --file operators.txt --out alice.token",
            ),
            ("Print the token instead", "pssst operator create bob@example --file operators.txt"),
        ],
    ),
    (
        "operator list",
        &[
            ("See who may come in", "pssst operator list --file operators.txt"),
            ("Count the tokens of each", "pssst operator list --file operators.txt | sort | uniq -c"),
        ],
    ),
    (
        "operator remove",
        &[
            ("Let alice in no more", "pssst operator remove alice --file operators.txt"),
            (
                "Give her another token in place of all that she has",
                "pssst operator remove alice --file operators.txt &&\n  pssst operator create alice --file operators.txt --out alice.token",
            ),
        ],
    ),
    (
        "config",
        &[
            ("Begin with a file that explains itself", "pssst config init gateway --out gateway.toml"),
            ("Check a file before a restart or a reload", "pssst config check pssst.toml"),
            ("See which values hold, and where they are from", "pssst config show serve --config pssst.toml"),
        ],
    ),
    (
        "config init",
        &[
            ("Write gateway.toml, with every option of a gateway", "pssst config init gateway --out gateway.toml"),
            ("Print the options of two services", "pssst config init serve directory --out -"),
        ],
    ),
    (
        "config show",
        &[
            ("See which values hold, and where they are from", "pssst config show serve --config pssst.toml"),
            (
                "With a flag, as the service would be started",
                "pssst config show serve --config pssst.toml --json --workers 4",
            ),
        ],
    ),
    (
        "config check",
        &[
            ("Check a file before a restart or a reload", "pssst config check pssst.toml"),
            (
                "Start only with a file that is right",
                "pssst config check pssst.toml && pssst serve --config pssst.toml",
            ),
        ],
    ),
    (
        "completions",
        &[
            ("For this bash", "source <(pssst completions bash)"),
            ("For every zsh of this user", "pssst completions zsh > _pssst"),
            ("For fish", "pssst completions fish > pssst.fish"),
        ],
    ),
    (
        "man",
        &[
            ("Write the pages, and read one", "mkdir -p man && pssst man --out man && head man/pssst-serve.1"),
            (
                "Write them where `man` looks for those of a user",
                "mkdir -p ~/.local/share/man/man1 &&\n  pssst man --out ~/.local/share/man/man1",
            ),
        ],
    ),
];
