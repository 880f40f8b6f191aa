"""Our program against others: the Python peer in every direction, and OpenSSL for the key files.

  run.py PSSST      where PSSST is our program; run with the Python that has interop/requirements.txt

Prints a line for each check, and last `N passed, N failed`. Fails if one fails.
"""

import contextlib
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading

from checks import check, expect, run_checks
from pssst import PSSSTClient, PSSSTServer

PEER = [sys.executable, str(pathlib.Path(__file__).with_name("peer.py"))]
PATIENCE_SECONDS = 20
# Around block and buffer sizes, up to what the peers' own clients read.
SIZES = [0, 1, 15, 16, 17, 32, 255, 1024, 1200, 2000, 16384, 60000]


def run(command, message=b"", **options):
    """Standard output of a command that must succeed."""
    done = subprocess.run(command, input=message, capture_output=True, timeout=PATIENCE_SECONDS, **options)
    if done.returncode != 0:
        raise AssertionError(f"{command[:3]} ended with {done.returncode}: {done.stderr.decode()}")
    return done.stdout


class Running:
    """A program that runs until the end of a `with` block; `line()` is its next line of output."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.said = self.process.communicate(timeout=PATIENCE_SECONDS)[1]

    def line(self):
        return self.process.stdout.readline().strip()


class Keys:
    """Key files of a server and a client, made by our program."""

    def __init__(self, folder):
        self.files = {}
        self.public = {}
        self.text = {}
        for name, form in (("server", "hex"), ("client", "pem"), ("client_hex", "hex")):
            self.files[name] = os.path.join(folder, name + ".key")
            run([OURS, "keygen", "--format", form, "--out", self.files[name]])
            self.public[name] = run([OURS, "pubkey", "--hex", self.files[name]]).decode().strip()
            self.text[name] = run([OURS, "pubkey", self.files[name]]).decode().strip()

    def secret_hex(self, name):
        return pathlib.Path(self.files[name]).read_text().strip()


def pair(first, second):
    """Joins two programs by pipes both ways; both must succeed."""
    ends = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for command in (first, second)
    ]
    tags = []

    def forward(source, sink):
        for line in source.stdout:
            tags.append(line.split(b":")[0])
            try:
                sink.stdin.write(line)
                sink.stdin.flush()
            except BrokenPipeError:
                break
        try:
            sink.stdin.close()
        except BrokenPipeError:
            pass

    threads = [threading.Thread(target=forward, args=pipe) for pipe in (ends, ends[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    for end in ends:
        code = end.wait(PATIENCE_SECONDS)
        if code != 0:
            raise AssertionError(f"{end.args} ended with {code}: {end.stderr.read().decode()}")
    for tag in (b"REQUEST", b"REQUEST_AUTH", b"REPLY", b"REPLY_AUTH"):
        expect(tags.count(tag), 2, f"lines {tag.decode()}")


@check("pairing: ours, then theirs")
def pairing_ours_first(_):
    for _ in range(5):
        pair([OURS, "compat"], [*PEER, "compat"])


@check("pairing: theirs, then ours")
def pairing_theirs_first(_):
    for _ in range(5):
        pair([*PEER, "compat"], [OURS, "compat"])


@check("pairing: ours with ours, under both suites")
def pairing_ours(_):
    for suite in ("1", "f002"):
        pair([OURS, "compat", "--suite", suite], [OURS, "compat", "--suite", suite])


@check("pairing: theirs refuses suite 0xf002, and ours notices")
def pairing_suite_refused(_):
    ends = []
    try:
        pair([OURS, "compat", "--suite", "f002"], [*PEER, "compat"])
    except AssertionError as mismatch:
        ends.append(str(mismatch))
    expect(len(ends), 1, "a refusal")


def their_client(keys, identity):
    with Running([*SERVE, "--verbose", "--secret-key", keys.files["server"]]) as ours:
        port = ours.line().rsplit(":", 1)[1]
        expect(ours.line(), f"public key {keys.text['server']}", "our server's key")
        for size in SIZES:
            message = os.urandom(size)
            reply = run([*PEER, "request", port, keys.public["server"], *identity], message)
            expect(reply, message, f"reply to {size} bytes")
    return ours.said


@check("UDP: their client to our server, anonymous")
def their_client_anonymous(keys):
    said = their_client(keys, [])
    expect(said.count("from an anonymous client"), len(SIZES), "anonymous requests")


@check("UDP: their client to our server, authenticated")
def their_client_authenticated(keys):
    said = their_client(keys, [keys.secret_hex("client_hex")])
    expect(said.count(f"from client {keys.text['client_hex']}"), len(SIZES), "requests of this client")


def our_client(keys, identity, client):
    with Running([*PEER, "serve", keys.secret_hex("server")]) as theirs:
        server = f"127.0.0.1:{theirs.line()}"
        for size in SIZES:
            message = os.urandom(size)
            command = [OURS, "request", "--suite", "1", "--max-datagram", "65507", "--server", server,
                       "--server-key", keys.public["server"], *identity]
            expect(run(command, message), message, f"reply to {size} bytes")
            expect(theirs.line(), f"client {client}", "client that their server saw")


@check("UDP: our client to their server, anonymous")
def our_client_anonymous(keys):
    our_client(keys, [], "anonymous")


@check("UDP: our client to their server, authenticated")
def our_client_authenticated(keys):
    our_client(keys, ["--identity", keys.files["client"]], keys.public["client"])


@check("UDP: one-way messages reach their server")
def our_client_one_way(keys):
    with Running([*PEER, "serve", keys.secret_hex("server")]) as theirs:
        server = f"127.0.0.1:{theirs.line()}"
        command = [OURS, "request", "--suite", "1", "--server", server, "--server-key", keys.public["server"], "--no-reply"]
        expect(run(command, b"one way"), b"", "output")
        expect(theirs.line(), "client anonymous", "client that their server saw")


def mutations(rng, packet):
    """The packet as it is, and everything that a bad network or a bad sender makes of it."""
    yield packet
    for _ in range(60):
        changed = bytearray(packet)
        changed[rng.randrange(len(packet))] ^= 1 << rng.randrange(8)
        yield bytes(changed)
        yield packet[:rng.randrange(len(packet))]
        yield packet + rng.randbytes(rng.randrange(1, 40))
        # The headers that pass the first checks, before random bytes.
        yield rng.choice([b"\0\0\0\1", b"\x40\0\0\1"]) + rng.randbytes(rng.randrange(200))


@check("UDP: of two thousand mutated packets, our server answers what their library opens, byte for byte alike")
def differential(keys):
    seed = random.randrange(1 << 32)
    print(f"        seed {seed}")
    rng = random.Random(seed)
    theirs = PSSSTServer(keys.secret_hex("server"))
    answered = refused = 0
    with Running([*SERVE, "--secret-key", keys.files["server"]]) as ours, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", int(ours.line().rsplit(":", 1)[1])))
        sock.settimeout(PATIENCE_SECONDS)
        for identity in (None, keys.secret_hex("client_hex")):
            client = PSSSTClient(keys.public["server"], identity)
            for size in (0, 1, 16, 100):
                packet, _ = client.pack_request(rng.randbytes(size))
                for mutated in mutations(rng, packet):
                    try:
                        message, _, seal_reply = theirs.unpack_request(mutated)
                        wanted = [seal_reply(message)]
                        answered += 1
                    except Exception:  # their library raises more than its own exceptions
                        wanted = []
                        refused += 1
                    # Our server takes packets in order, so the marker's reply comes first if there
                    # is no other.
                    marker, open_marker = client.pack_request(b"marker")
                    sock.send(mutated)
                    sock.send(marker)
                    got = [sock.recv(65_535)]
                    while got[-1][4:36] != marker[4:36]:
                        got.append(sock.recv(65_535))
                    expect(open_marker(got.pop()), b"marker", "reply to the marker")
                    expect(got, wanted, f"answer to {mutated.hex()}")
    expect((answered >= 8, refused > 1000), (True, True), f"{answered} answered and {refused} refused")


@check("OpenSSL reads our secret key, and finds our public key in it")
def openssl_reads_ours(keys):
    text = run(["openssl", "pkey", "-in", keys.files["client"], "-noout", "-text"]).decode()
    expect("X25519 Private-Key" in text, True, "kind of key")
    digits = "".join(text.split("pub:")[1].split()).replace(":", "")
    expect(digits, keys.public["client"], "public key")
    theirs = run(["openssl", "pkey", "-in", keys.files["client"], "-pubout"])
    expect(run([OURS, "pubkey", "--pem", keys.files["client"]]), theirs, "public key as PEM")
    rewritten = run(["openssl", "pkey", "-in", keys.files["client"]])
    expect(pathlib.Path(keys.files["client"]).read_bytes(), rewritten, "secret key as PEM")


@check("we read OpenSSL's keys, and serve with them")
def we_read_openssls(keys):
    with tempfile.TemporaryDirectory() as folder:
        secret, public = (os.path.join(folder, name) for name in ("openssl.pem", "openssl.pub"))
        run(["openssl", "genpkey", "-algorithm", "X25519", "-out", secret])
        os.chmod(secret, 0o600)
        pathlib.Path(public).write_bytes(run(["openssl", "pkey", "-in", secret, "-pubout"]))
        der = run(["openssl", "pkey", "-in", secret, "-pubout", "-outform", "DER"])
        expect(run([OURS, "pubkey", "--hex", secret]).decode().strip(), der[-32:].hex(), "public key")
        with Running([*SERVE, "--secret-key", secret]) as ours:
            server = ours.line().rsplit(" ", 1)[1]
            command = [OURS, "request", "--server", server, "--server-key", public]
            expect(run(command, b"hello"), b"hello", "reply")


@check("we refuse OpenSSL's keys of other kinds")
def we_refuse_other_kinds(_):
    with tempfile.TemporaryDirectory() as folder:
        for algorithm in ("ed25519", "X448"):
            secret = os.path.join(folder, algorithm)
            run(["openssl", "genpkey", "-algorithm", algorithm, "-out", secret])
            os.chmod(secret, 0o600)
            done = subprocess.run([OURS, "pubkey", secret], capture_output=True, timeout=PATIENCE_SECONDS)
            expect((done.returncode, b"another algorithm" in done.stderr), (1, True), algorithm)


def main():
    with tempfile.TemporaryDirectory() as folder:
        keys = Keys(folder)
        return run_checks(lambda: contextlib.nullcontext(keys))


if __name__ == "__main__":
    OURS = os.path.abspath(sys.argv[1])
    SERVE = [OURS, "serve", "--listen", "127.0.0.1:0", "--max-datagram", "65507"]
    sys.exit(main())
