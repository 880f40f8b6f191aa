//! Mistakes at the command line: each message names the thing, the cause and a remedy that is
//! right.

use std::fmt::Write;

use crate::fleet::process::Fleet;

/// A command line, what standard error has to say (thing and cause), and the remedy. An
/// empty remedy: clap's own usage line or tip is one. `K` in an argument is the server's public
/// key.
type Mistake = (&'static str, &'static [&'static str], &'static str);

const CHECK_PATH: &str = "check the path";
const KEY_FORM: &str = "64 hexadecimal digits";
const KEYGEN: &str = "give the file that `pssst keygen --out FILE` wrote";
const PUBKEY: &str = "`pssst pubkey FILE` prints that of a secret key";
const ADDRESS: &str = "as in localhost:45678";
const LISTEN: &str = "such as 127.0.0.1:45678";
const LOCATION: &str = "sqlite:clients.db";
const DATABASE: &str = "use sqlite:PATH or postgres://";

/// Wrong files where a secret key belongs, in every command that takes one.
const SECRETS: [(&str, &[&str], &str); 12] = [
    ("nofile", &["cannot open nofile", "No such file"], CHECK_PATH),
    (".", &["cannot read .", "Is a directory"], CHECK_PATH),
    ("text", &["text has no key", "secret key", "is needed here"], KEY_FORM),
    ("empty", &["empty is empty"], KEYGEN),
    ("server.pem", &["server.pem holds an X25519 public key", "secret key", "is needed here"], KEYGEN),
    ("exposed.key", &["other users can read the secret in exposed.key", "mode 0644"], "chmod 600 exposed.key"),
    ("rsa.key", &["rsa.key holds a key of another algorithm than X25519"], "openssl genpkey -algorithm X25519"),
    ("locked.key", &["locked.key holds an encrypted secret key"], "decrypt it"),
    ("cut.key", &["cut.key is cut off: it has no END line"], "copy the file again"),
    ("certificate", &["certificate holds a certificate"], KEYGEN),
    ("token", &["token holds an enrolment token"], KEYGEN),
    ("keys.json", &["keys.json holds a schedule of keys"], KEYGEN),
];
const SECRET_PLACES: [&str; 7] = [
    "pubkey @",
    "serve --listen 127.0.0.1:0 --secret-key @",
    "gateway --listen 127.0.0.1:0 --upstream udp://127.0.0.1:9 --anonymous allow --secret-key @",
    "proxy --listen 127.0.0.1:0 --server 127.0.0.1:9 --server-key server.pub --identity @",
    "request --server 127.0.0.1:9 --server-key server.pub --identity @ hello",
    "bench --server 127.0.0.1:9 --server-key server.pub --identity @",
    "inspect --secret-key @ 00",
];

/// Wrong texts and files where a public key belongs.
const PUBLICS: [(&str, &[&str], &str); 9] = [
    ("nofile", &["cannot open nofile", "No such file"], CHECK_PATH),
    ("text", &["text has no key", "public key is needed here"], KEY_FORM),
    ("client.key", &["client.key holds an X25519 secret key"], PUBKEY),
    ("rsa.pub", &["rsa.pub holds a key of another algorithm than X25519"], PUBKEY),
    ("short.pub", &["short.pub looks like a key of 63 digits; an X25519 key has 64"], "copy the whole key again"),
    ("certificate", &["certificate holds a certificate"], PUBKEY),
    (
        "f99cb5488854fd0e493dc19635171805240dace29212c0e02374eaff3723a97",
        &["looks like a key of 63 digits; an X25519 key has 64"],
        "copy the whole key again",
    ),
    (
        "f99cb5488854fd0e493dc19635171805240dace29212c0e02374eaff3723a97eab",
        &["looks like a key of 66 digits; an X25519 key has 64"],
        "copy the whole key again",
    ),
    (
        "f99cb5488854fd0e493dc1963517180524odace29212c0e02374eaff3723a97e",
        &["its character 35 is 'o', not a hexadecimal digit"],
        "copy the whole key again",
    ),
];
const PUBLIC_PLACES: [&str; 4] = [
    "request --server 127.0.0.1:9 --server-key @ hello",
    "bench --server 127.0.0.1:9 --server-key @",
    "proxy --listen 127.0.0.1:0 --server 127.0.0.1:9 --server-key @",
    "clients add someone @ --store sqlite:clients.db",
];

/// Wrong addresses of a server.
const SERVERS: [(&str, &[&str], &str); 8] = [
    ("localhost", &["localhost is not a server address", "expected HOST:PORT"], ADDRESS),
    (":45678", &[":45678 is not a server address"], ADDRESS),
    ("45678", &["45678 is not a server address"], ADDRESS),
    ("::1:45678", &["::1:45678 is not a server address", "brackets around an IPv6 address"], ADDRESS),
    ("localhost:99999", &["localhost:99999 is not a server address"], ADDRESS),
    ("localhost:0", &["localhost:0 is not a server address", "nothing can be sent to port 0"], ADDRESS),
    ("http://localhost:1", &["http://localhost:1 is not a server address"], ADDRESS),
    ("no-such-host.invalid:1", &["cannot find no-such-host.invalid:1"], "name servers know it"),
];
const SERVER_PLACES: [&str; 3] = [
    "request --server @ --server-key server.pub hello",
    "bench --server @ --server-key server.pub",
    "proxy --listen 127.0.0.1:0 --wait-for-network 0 --server @ --server-key server.pub",
];

/// Wrong addresses to listen at.
const LISTENERS: [(&str, &[&str], &str); 5] = [
    (":45678", &["':45678'"], LISTEN),
    ("45678", &["'45678'"], LISTEN),
    ("127.0.0.1", &["'127.0.0.1'"], LISTEN),
    ("pool.example:1", &["'pool.example:1'", "pool.example is a name"], LISTEN),
    ("[fe80::1%nosuch]:1", &["'[fe80::1%nosuch]:1'", "no such network interface"], ""),
];
const LISTENER_PLACES: [&str; 6] = [
    "serve --secret-key server.key --listen @",
    "serve --secret-key server.key --metrics @",
    "gateway --secret-key server.key --upstream udp://127.0.0.1:9 --anonymous allow --listen @",
    "proxy --server 127.0.0.1:9 --server-key server.pub --listen @",
    "directory --keys keys.json --store sqlite:clients.db --self-signed --listen @",
    "directory --keys keys.json --store sqlite:clients.db --self-signed --admin-listen @",
];

/// Wrong stores.
const STORES: [(&str, &[&str], &str); 8] = [
    ("clients.db", &["not a location of clients", "file:PATH, sqlite:PATH"], LOCATION),
    ("mysql://localhost/db", &["not a location of clients"], LOCATION),
    ("memory:", &["not a location of clients"], LOCATION),
    ("sqlite:", &["not a location of clients", "the path of a file after sqlite:"], LOCATION),
    ("sqlite:typo.db", &["typo.db does not exist"], "check the path"),
    ("sqlite:text", &["text: database: ", "file is not a database"], "check that the database"),
    (
        "postgres://u:secret@127.0.0.1:1/d",
        &["PostgreSQL at 127.0.0.1:1: ", "Connection refused"],
        "check that the database runs",
    ),
    (
        "postgres://u:secret@db.example/d",
        &["PostgreSQL at db.example would not verify its server"],
        "sslmode=verify-full",
    ),
];
const STORE_PLACES: [&str; 7] = [
    "clients list --store @",
    "clients show one --store @",
    "clients revoke one --store @",
    "clients export --store @",
    "token list --store @",
    "audit list --store @",
    "serve --listen 127.0.0.1:0 --secret-key server.key --clients @",
];

const OTHERS: &[Mistake] = &[
    // Keys.
    ("keygen", &["--out <FILE>"], ""),
    ("keygen --out server.key", &["server.key exists already"], "nothing is overwritten"),
    ("keygen --out nodir/x", &["cannot create nodir/x", "No such file"], CHECK_PATH),
    ("keygen --out /dev/full", &["/dev/full exists already"], "choose another name"),
    ("keys init keys.json", &["keys.json exists already"], "choose another name"),
    ("keys init nodir/x", &["nodir/x: No such file"], CHECK_PATH),
    ("keys show nofile", &["nofile: No such file"], CHECK_PATH),
    (
        "keys show server.key",
        &["server.key holds an X25519 secret key, and a schedule of keys is needed here"],
        "keys init",
    ),
    ("keys show exposed.json", &["exposed.json: other users can read or change it (mode 0644)"], "right file"),
    ("keys rotate nofile", &["nofile: No such file"], CHECK_PATH),
    ("keys rotate keys.json --activation-delay 0", &["'0'", "give a time span"], ""),
    ("keys rotate keys.json --grace-period 500d", &["keys.json: ", "at most 400 days"], "`pssst keys show`"),
    ("keys rotate keys.json --activation-delay 100d", &["keys.json: ", "at most 90 days"], "`pssst keys show`"),
    (
        "keys rotate rotated.json",
        &["rotated.json: the key of the last rotation is not in force yet"],
        "`pssst keys show`",
    ),
    ("keys show keys.json --public-key abc", &["keys.json has no key abc in use"], "lists the keys"),
    ("keys take-over keys.json", &["--above <GENERATION>"], ""),
    ("keys take-over keys.json --above many", &["'many'"], ""),
    ("keys fetch", &["--directory <URL|LINK>"], ""),
    ("keys fetch --directory ftp://localhost", &["ftp://localhost: expected a URL of https://"], "https://HOST[:PORT]"),
    ("keys fetch --directory localhost", &["localhost: expected a URL of https://"], "https://HOST[:PORT]"),
    (
        "keys fetch --directory https://127.0.0.1:1",
        &["the directory cannot be reached", "Connection refused"],
        "does it run",
    ),
    ("keys fetch --directory https://127.0.0.1:1 --pin 12", &["'12'", "sha256: and 64 hexadecimal digits"], ""),
    (
        "keys fetch --directory https://127.0.0.1:1 --directory-ca text",
        &["text: no certificates of authorities"],
        "PEM file",
    ),
    ("keys fetch --directory https://127.0.0.1:1 --directory-ca nofile", &["nofile: No such file"], CHECK_PATH),
    (
        "request --server 127.0.0.1:9 --directory https://127.0.0.1:1 --key-cache text hello",
        &["the stored keys in text cannot be used"],
        "if it is, and cannot be restored, delete it",
    ),
    (
        "request --server 127.0.0.1:9 --directory https://127.0.0.1:1 --key-cache . hello",
        &["the stored keys in . cannot be used: not a regular file"],
        "check that this is the right file",
    ),
    (
        "request --server 127.0.0.1:9 --server-key server.pub --key-cache x hello",
        &["--key-cache is for the keys of a directory"],
        "--directory URL",
    ),
    (
        "request --server 127.0.0.1:9 --server-key server.pub --directory-ca x hello",
        &["--directory-ca is for"],
        "--directory URL",
    ),
    (
        "proxy --listen 127.0.0.1:0 --server 127.0.0.1:9 --server-key server.pub --key-cache x",
        &["--key-cache is for"],
        "--directory URL",
    ),
    // Requests.
    ("request hello", &["--server <HOST:PORT|LINK>"], ""),
    ("request --server 127.0.0.1:9 hello", &["no server key"], "--server-key, or a --directory, or a link"),
    ("request --server 127.0.0.1:9 --server-key server.pub --directory https://a hello", &["cannot be used with"], ""),
    ("request --server 127.0.0.1:9 --server-key server.pub --suite 2 hello", &["'2'", "1, f002, f003"], ""),
    (
        "request --server 127.0.0.1:9 --server-key server.pub --timeout soon hello",
        &["'soon'", "such as 500ms or 5s"],
        "",
    ),
    ("request --server 127.0.0.1:9 --server-key server.pub --timeout 0 hello", &["'0'", "such as 500ms or 5s"], ""),
    ("request --server 127.0.0.1:9 --server-key server.pub --max-datagram 51 hello", &["'51'", "52..=65507"], ""),
    (
        "request --server 127.0.0.1:9 --server-key server.pub --file nofile",
        &["cannot read the message from nofile"],
        CHECK_PATH,
    ),
    ("request --server 127.0.0.1:9 --server-key server.pub --file long", &["longer than 1180 bytes"], "--max-datagram"),
    ("request --server 127.0.0.1:9 --server-key server.pub one two", &["unexpected argument 'two'"], ""),
    ("request --server 127.0.0.1:9 --server-key server.pub --identiy x hello", &["'--identiy'", "'--identity'"], ""),
    (
        "request --server 127.0.0.1:9 --server-key - --identity - hello",
        &["more than one input is standard input"],
        "keys as files",
    ),
    (
        "request --server 127.0.0.1:9 --server-key server.pub --timeout 0.3 hello",
        &["no reply from 127.0.0.1:9 within 0.3 s to anonymous requests of suite 0xf002", "Connection refused"],
        "nothing listens at that port",
    ),
    (
        "request --server 127.0.0.1:9 --server-key 0000000000000000000000000000000000000000000000000000000000000000 hello",
        &["server key must not be used", "low order"],
        "ask the server's operator for the right key",
    ),
    ("bench --server 127.0.0.1:9", &["no server key"], "--server-key, or a --directory, or a link"),
    ("bench --server 127.0.0.1:9 --server-key server.pub --rate 0", &["'0'", "requests a second"], ""),
    ("bench --server 127.0.0.1:9 --server-key server.pub --duration 0", &["'0'", "such as 500ms"], ""),
    (
        "bench --server 127.0.0.1:9 --server-key server.pub --size 70000",
        &["70000 bytes does not fit into a datagram"],
        "at most 65455",
    ),
    (
        "bench --server 127.0.0.1:9 --server-key server.pub --authenticated-share 1",
        &["need a client's key"],
        "--identity",
    ),
    ("bench --server 127.0.0.1:9 --server-key server.pub --authenticated-share 2", &["'2'"], ""),
    ("bench --server 127.0.0.1:9 --server-key server.pub --junk 1", &["'1'"], ""),
    (
        "bench --server 127.0.0.1:9 --server-key server.pub --concurrency 9 --requests-prepared 3",
        &["9 requests in flight, but only 3 prepared"],
        "--requests-prepared",
    ),
    // Clients, tokens, operators.
    ("clients list", &["--store <LOCATION>"], ""),
    ("clients lst --store sqlite:clients.db", &["'lst'", "'list'"], ""),
    (
        "clients list --store file:bad.txt",
        &["bad.txt: line 1: expected a key of 64 hexadecimal digits"],
        "correct the line",
    ),
    ("clients list --store file:nosuch.txt", &["nosuch.txt does not exist"], "check the path"),
    ("clients list --state gone --store sqlite:clients.db", &["'gone'", "enrolled, suspended or revoked"], ""),
    (
        "clients add one server.pub --store sqlite:clients.db",
        &["another client has the name \"one\""],
        "choose another",
    ),
    ("clients add two client.pub --store sqlite:clients.db", &["is enrolled already"], "`pssst clients show KEY`"),
    ("clients add K server.pub --store sqlite:clients.db", &["is not a name", "is not a key"], "choose another name"),
    (
        "clients add K someone --store sqlite:clients.db",
        &["is a key, and stands where the name belongs"],
        "the name comes first: pssst clients add someone",
    ),
    (
        "clients add server.pub someone --store sqlite:clients.db",
        &["server.pub is a key, and stands where the name belongs"],
        "pssst clients add someone server.pub",
    ),
    ("request --server 127.0.0.1:9 --server-key= hello", &["the public key is missing"], "may be unset"),
    ("clients add two server.pub --label x --store sqlite:clients.db", &["'x'", "a name, =, and a value"], ""),
    ("clients add two server.pub --expires tomorrow --store sqlite:clients.db", &["'tomorrow'", "2027-01-31"], ""),
    (
        "clients add two server.pub --expires 2027-01-31T10:00 --store sqlite:clients.db",
        &["needs its offset: add Z"],
        "",
    ),
    (
        "clients add two 0000000000000000000000000000000000000000000000000000000000000000 --store sqlite:clients.db",
        &["cannot be enrolled", "low order"],
        "`pssst pubkey`",
    ),
    ("clients show nobody --store sqlite:clients.db", &["there is no client \"nobody\""], "`pssst clients list`"),
    ("clients suspend nobody --store sqlite:clients.db", &["there is no client \"nobody\""], "`pssst clients list`"),
    ("clients remove nobody --store sqlite:clients.db", &["there is no client \"nobody\""], "`pssst clients list`"),
    ("clients resume gone --store sqlite:clients.db", &["revoked permanently"], "make a new key"),
    ("clients revoke --store sqlite:clients.db", &["<CLIENT>..."], ""),
    ("clients import nofile --store sqlite:clients.db", &["cannot read nofile"], CHECK_PATH),
    (
        "clients import text --store sqlite:clients.db",
        &["line 1, after 0 clients were added"],
        "each line is a JSON object",
    ),
    ("clients refused --store file:clients.txt", &["a file of clients has no tokens"], DATABASE),
    ("token create", &["--store <LOCATION>"], ""),
    ("token create --store file:clients.txt", &["a file of clients has no tokens"], DATABASE),
    ("token create --store sqlite:clients.db --valid 0", &["'0'", "such as 90s"], ""),
    ("token create --store sqlite:clients.db --valid 400d", &["366 days at most"], "--valid"),
    ("token create --store sqlite:clients.db --name -x", &["'-x'"], ""),
    ("token create --store sqlite:clients.db --out token", &["token exists already"], "choose another name"),
    ("token create --store sqlite:clients.db --out nodir/x", &["cannot create nodir/x"], CHECK_PATH),
    ("token withdraw abc --store sqlite:clients.db", &["\"abc\" is not the id of a token"], "`pssst token list`"),
    (
        "token withdraw 0123456789abcdef --store sqlite:clients.db",
        &["no unused token 0123456789abcdef"],
        "`pssst token list --all`",
    ),
    ("operator create bob", &["--file <FILE>"], ""),
    ("operator create b*b --file operators", &["\"b*b\"", "the name of an operator"], "letters, digits"),
    ("operator create bob --file text", &["text: expected operators"], "left unchanged"),
    ("operator create bob --file nodir/x", &["cannot use nodir/x"], CHECK_PATH),
    ("operator list --file nofile", &["cannot use nofile"], CHECK_PATH),
    ("operator remove nobody --file operators", &["operators has no operator \"nobody\""], "`pssst operator list`"),
    ("audit list --store file:clients.txt", &["a file of clients has no tokens and no audit log"], DATABASE),
    ("audit archive --store sqlite:clients.db --before soon --out a", &["'soon'", "how long ago"], ""),
    (
        "audit archive --store sqlite:clients.db --before 2030-01-01 --out text",
        &["text exists already"],
        "choose another name",
    ),
    ("audit verify nofile --store sqlite:clients.db", &["nofile: No such file"], "`pssst audit archive` wrote"),
    ("audit verify text --store sqlite:clients.db", &["text: line 1: expected an entry"], "not an archive"),
    ("enroll --directory https://127.0.0.1:1", &["--identity <FILE>"], ""),
    (
        "enroll --directory https://127.0.0.1:1 --identity new.key",
        &["standard input is empty, and an enrolment token is needed here"],
        "`pssst token create` printed",
    ),
    ("enroll --directory https://127.0.0.1:1 --identity new.key --token nofile", &["cannot open nofile"], CHECK_PATH),
    (
        "enroll --directory https://127.0.0.1:1 --identity new.key --token client.key",
        &["client.key holds an X25519 secret key, and an enrolment token is needed"],
        "`pssst token create` printed",
    ),
    (
        "enroll --directory https://127.0.0.1:1 --identity new.key --token exposed.key",
        &["exposed.key holds an X25519 secret key, and an enrolment token is needed"],
        "`pssst token create` printed",
    ),
    // Services.
    ("serve", &["--secret-key <FILE>|--keys <FILE>"], ""),
    ("serve --secret-key server.key --keys keys.json", &["cannot be used with"], ""),
    ("serve --secret-key server.key --secret-key server.key", &["is given twice"], "give each key once"),
    ("serve --secret-key f003.key", &["all secret keys are for suite f003", "clients enrol"], "further --secret-key"),
    (
        "serve --secret-key server.key --suite f003",
        &["suite f003 is enabled without a key of suite f003"],
        "`pssst keygen --suite f003 --out FILE` and give it with a second --secret-key",
    ),
    (
        "gateway --keys keys.json --upstream udp://127.0.0.1:9 --anonymous allow --suite f002 --suite f003",
        &["suite f003 is enabled without a key of suite f003"],
        "`pssst keys rotate keys.json --only f003`",
    ),
    ("serve --secret-key -", &["standard input is not a regular file"], "the name of a file"),
    ("serve --keys nofile", &["nofile: No such file"], CHECK_PATH),
    (
        "serve --keys server.key",
        &["server.key holds an X25519 secret key, and a schedule of keys is needed here"],
        "keys init",
    ),
    (
        "serve --secret-key server.key --listen 203.0.113.7:1",
        &["cannot serve 203.0.113.7:1"],
        "choose an address of this machine",
    ),
    ("serve --secret-key server.key --workers 0", &["'0'", "1..=1024"], ""),
    ("serve --secret-key server.key --unknown-clients allow", &["--clients <LOCATION>"], ""),
    ("serve --secret-key server.key --anonymous maybe", &["'maybe'", "allow, refuse"], ""),
    ("serve --secret-key server.key --log-level loud", &["'loud'", "error, warn, info"], ""),
    ("serve --secret-key server.key --drain forever", &["'forever'", "such as 500ms"], ""),
    ("serve --secret-key server.key --rate-limit 0", &["'0'"], ""),
    ("serve --secret-key server.key --client-rate-limit 0", &["'0'"], ""),
    ("serve --secret-key server.key --reload-interval 0", &["'0'"], ""),
    ("serve --config nofile", &["cannot read nofile"], CHECK_PATH),
    ("serve --config text", &["text:1: "], "put texts in quotes"),
    ("serve --config misspelt.toml", &["misspelt.toml:2: serve has no option \"worker\""], "did you mean \"workers\"?"),
    (
        "gateway --secret-key server.key --upstream udp://127.0.0.1:9",
        &["nothing says which clients are served"],
        "--anonymous allow",
    ),
    ("gateway --secret-key server.key --anonymous allow", &["--upstream <URL>"], ""),
    (
        "gateway --secret-key server.key --anonymous allow --upstream ftp://localhost",
        &["'ftp://localhost'", "udp://HOST:PORT"],
        "",
    ),
    ("gateway --secret-key server.key --anonymous allow --upstream http:/localhost", &["'http:/localhost'"], ""),
    ("gateway --secret-key server.key --anonymous allow --upstream udp://localhost", &["'udp://localhost'"], ""),
    ("gateway --secret-key server.key --anonymous allow --upstream tcp://localhost:0", &["'tcp://localhost:0'"], ""),
    ("gateway --secret-key server.key --anonymous allow --upstream unix:relative", &["'unix:relative'"], ""),
    (
        "gateway --secret-key server.key --anonymous allow --upstream http://u:secret@localhost/",
        &["must not contain a user or password"],
        "--authorization-file",
    ),
    (
        "gateway --secret-key server.key --anonymous allow --upstream http://localhost/ --authorization-file nofile",
        &["cannot open nofile"],
        CHECK_PATH,
    ),
    (
        "gateway --secret-key server.key --anonymous allow --upstream http://localhost/ --authorization-file exposed.key",
        &["other users can read exposed.key"],
        "right file",
    ),
    (
        "gateway --secret-key server.key --anonymous allow --upstream https://localhost/ --upstream-ca text",
        &["no certificates of authorities in PEM"],
        "PEM file",
    ),
    (
        "gateway --secret-key server.key --anonymous allow --upstream http://localhost/ --upstream-ca certificate",
        &["authorities apply to https: upstreams only"],
        "https:",
    ),
    (
        "gateway --secret-key server.key --anonymous allow --upstream http://localhost/ --prefix-client-key",
        &["not put before messages over HTTP"],
        "omit it",
    ),
    ("gateway --secret-key server.key --anonymous allow --upstream http://localhost/ --http-version 3", &["'3'"], ""),
    (
        "gateway --secret-key server.key --anonymous allow --upstream http://localhost/ --upstream-timeout 0",
        &["'0'"],
        "",
    ),
    ("proxy --server 127.0.0.1:9", &["no server key"], "--server-key, or a --directory, or a link"),
    (
        "proxy --listen 0.0.0.0:1 --server 127.0.0.1:9 --server-key server.pub",
        &["0.0.0.0:1 is not a loopback address"],
        "--allow-other-hosts",
    ),
    (
        "proxy --server 127.0.0.1:9 --server-key server.pub --max-datagram 60 --identity client.key",
        &["60 bytes have no room for a message"],
        "92 bytes longer",
    ),
    (
        "proxy --wait-for-network 0 --server 127.0.0.1:9 --directory https://127.0.0.1:1",
        &["the directory cannot be reached"],
        "does it run",
    ),
    ("directory --store sqlite:clients.db --self-signed", &["--keys <FILE>"], ""),
    ("directory --keys keys.json --self-signed", &["--store <LOCATION>"], ""),
    ("directory --keys keys.json --store sqlite:clients.db", &["the directory has no certificate"], "--self-signed"),
    (
        "directory --keys keys.json --store file:clients.txt --self-signed",
        &["a file of clients has no tokens"],
        DATABASE,
    ),
    (
        "directory --keys keys.json --store sqlite:clients.db --certificate certificate",
        &["--certificate-key <FILE>"],
        "",
    ),
    (
        "directory --keys keys.json --store sqlite:clients.db --certificate text --certificate-key client.key",
        &["text and client.key: expected a chain of certificates"],
        "right file",
    ),
    (
        "directory --keys keys.json --store sqlite:clients.db --self-signed --operators nofile",
        &["nofile: No such file"],
        CHECK_PATH,
    ),
    (
        "directory --keys keys.json --store sqlite:clients.db --self-signed --operators text",
        &["text: expected operators"],
        "right file",
    ),
    (
        "directory --keys keys.json --store sqlite:clients.db --self-signed --client-ca text",
        &["text: expected certificates of authorities"],
        "right file",
    ),
    (
        "directory --keys keys.json --store sqlite:clients.db --self-signed --listen 203.0.113.7:1",
        &["cannot listen on 203.0.113.7:1"],
        "choose an address of this machine",
    ),
    ("directory --keys keys.json --store sqlite:clients.db --self-signed --rate-limit 0", &["'0'"], ""),
    // The rest.
    ("config check", &["<FILE>"], ""),
    ("config check nofile", &["cannot read nofile"], CHECK_PATH),
    ("config check text", &["text:1: "], "put texts in quotes"),
    ("config check empty", &["empty configures no service"], "such as [gateway]"),
    ("inspect", &["there is no packet to read"], "the shortest has 28"),
    ("inspect xyz", &["not a packet in hexadecimal digits"], "--file for its bare bytes"),
    ("inspect --capture nofile", &["cannot read nofile"], CHECK_PATH),
    ("inspect --capture text", &["text is not a capture"], "pcap or pcapng"),
    ("inspect --port abc 00", &["'abc'"], ""),
    ("completions", &["<SHELL>"], ""),
    ("completions tcsh", &["'tcsh'", "bash"], ""),
    ("man", &["--out <FOLDER>"], ""),
    ("man --out nodir/x", &["cannot write into nodir/x"], "the folder exists"),
    ("sevre", &["'sevre'", "'serve'"], ""),
    ("--sevre", &["'--sevre'"], ""),
];

fn prepare() -> Fleet {
    let fleet = Fleet::new();
    fleet.generate_keys(&["server", "client", "gone"]);
    fleet.write("text", "hello\n");
    fleet.write("empty", "");
    fleet.write("long", &"x".repeat(2000));
    fleet.write("bad.txt", "hello\n");
    fleet.write("clients.txt", "");
    fleet.write("misspelt.toml", "[serve]\nworker = 1\nsecret-key = \"server.key\"\n");
    fleet.stdout(&["keys", "init", "keys.json"]);
    fleet.stdout(&["keygen", "--suite", "f003", "--out", "f003.key"]);
    fleet.stdout(&["keys", "init", "rotated.json"]);
    fleet.stdout(&["keys", "rotate", "rotated.json"]);
    fleet.stdout(&["operator", "create", "alice", "--file", "operators", "--out", "alice"]);
    let store = ["--store", "sqlite:clients.db"];
    fleet.stdout(&[&["token", "create", "--out", "token"], &store[..]].concat());
    fleet.stdout(&[&["clients", "add", "one", "client.pub"], &store[..]].concat());
    fleet.stdout(&[&["clients", "add", "gone", "gone.pub"], &store[..]].concat());
    fleet.stdout(&[&["clients", "revoke", "gone"], &store[..]].concat());
    let public = fleet.stdout(&["pubkey", "--hex", "server.key"]);
    fleet.write("server.pem", &fleet.stdout(&["pubkey", "--pem", "server.key"]));
    fleet.write("short.pub", &public[1..]);
    let secret = std::fs::read_to_string(fleet.path("client.key")).unwrap();
    for (name, text, mode) in [
        ("exposed.key", secret.clone(), 0o644),
        ("exposed.json", std::fs::read_to_string(fleet.path("keys.json")).unwrap(), 0o644),
        ("cut.key", secret[..60].to_owned(), 0o600),
        ("rsa.key", pem("RSA PRIVATE KEY"), 0o600),
        ("rsa.pub", pem("PUBLIC KEY"), 0o644),
        ("locked.key", pem("ENCRYPTED PRIVATE KEY"), 0o600),
        ("certificate", pem("CERTIFICATE"), 0o644),
    ] {
        fleet.write(name, &text);
        std::fs::set_permissions(fleet.path(name), std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }
    fleet
}

/// The form of a document. What it would hold does not matter.
fn pem(label: &str) -> String {
    format!("-----BEGIN {label}-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIB\n-----END {label}-----\n")
}

/// Every place with every value.
fn combine(
    places: &[&str],
    values: &[(&str, &[&'static str], &'static str)],
) -> Vec<(String, Vec<&'static str>, &'static str)> {
    let with = |place: &&str| {
        values
            .iter()
            .map(|(value, said, remedy)| (place.replace('@', value), said.to_vec(), *remedy))
            .collect::<Vec<_>>()
    };
    places.iter().flat_map(with).collect()
}

#[test]
fn each_mistake_is_named_with_its_cause_and_its_remedy() {
    let fleet = prepare();
    let key = fleet.stdout(&["pubkey", "server.key"]);
    let mut mistakes = combine(&SECRET_PLACES, &SECRETS);
    mistakes.extend(combine(&PUBLIC_PLACES, &PUBLICS));
    mistakes.extend(combine(&SERVER_PLACES, &SERVERS));
    mistakes.extend(combine(&LISTENER_PLACES, &LISTENERS));
    mistakes.extend(combine(&STORE_PLACES, &STORES));
    mistakes.extend(OTHERS.iter().map(|(line, said, remedy)| ((*line).to_owned(), said.to_vec(), *remedy)));
    assert!(mistakes.len() >= 300, "{}", mistakes.len());

    let mut wrong = String::new();
    for (line, expected, remedy) in &mistakes {
        let words: Vec<_> = line.split(' ').map(|word| if word == "K" { key.trim() } else { word }).collect();
        let output = fleet.output(&words, "");
        let said = String::from_utf8(output.stderr).unwrap();
        let is_told = expected.iter().all(|part| said.contains(part));
        let helps = match said.split_once(" help: ") {
            Some((_, help)) => {
                !remedy.is_empty() && help.contains(remedy)
                    || said.matches(" help: ").count() > 1 && said.contains(remedy)
            }
            None => remedy.is_empty() || said.contains(remedy),
        };
        // Harmful advice, panics, secrets, and the success of what is wrong.
        let harms = said.contains("chmod") && !line.contains("exposed.key");
        let is_bad = said.contains("panicked") || said.contains("secret@") || said.lines().count() > 12;
        if !is_told || !helps || harms || is_bad || !matches!(output.status.code(), Some(1..=3)) {
            writeln!(wrong, "pssst {line} ({:?}): expected {expected:?}, {remedy:?}:\n{said}", output.status.code())
                .unwrap();
        }
    }
    assert!(wrong.is_empty(), "of {} mistakes:\n{wrong}", mistakes.len());
}
