"""The Wireshark dissector against `pssst inspect`, and both against what the bytes say.

  dissector.py PSSST      where PSSST is our program; needs tshark 4 (Debian's package of that name), and nothing besides Python

Captures are made from the test vectors, by chance, and of a real server and its clients on loopback, which dumpcap must be allowed to
capture (as root it is). Prints a line for each check, and last `N passed, N failed`. Fails if one
fails.
"""

import json
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

from checks import check, expect, run_checks

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "deploy" / "wireshark" / "pssst.lua"
VECTORS = [ROOT / "crates/pssst/tests/vectors" / f"pssst-suite-{suite}.json" for suite in ("1", "f001")]
PATIENCE_SECONDS = 60
PORT = 45678
CLIENT_PORT = 40000
ETHERNET, RAW, NULL, COOKED, COOKED_2 = 1, 101, 0, 113, 276

# Texts of expert infos, by the event of `pssst inspect`, the refusal or the state.
EXPERTS = {
    "Truncated": "Too short for a packet (truncated)",
    "no_proof": "Too short for an authenticated request, which has a proof of 64 bytes",
    "ReservedFlags": "Reserved flags are set (reserved_flags)",
    "UnsupportedSuite": "Unknown suite (unsupported_suite)",
    "cut": "The capture does not have all of the packet",
    "repeated_request": "The same request again",
    "repeated_reply": "The same reply again",
    "other_request": "Another request with the same exchange value: changed, or made up",
    "no_request": "A reply to no request before it",
    "danger": "DANGER: two different replies to one request under suite 1; unless one was made up, "
    "whoever saw both can forge a third",
    "no_danger": "Two different replies to one request, which is harmless under this suite",
}
FIELDS = ["flags", "flags.reply", "flags.client_auth", "flags.reserved", "kind", "suite", "exchange_value", "ciphertext",
          "ciphertext.length", "tag", "overhead", "message_length", "request_in", "response_in", "time", "repeats", "differs"]


def run(command, **options):
    return subprocess.run(command, capture_output=True, timeout=PATIENCE_SECONDS, **options)


# Captures.

def udp(payload, to_server=True, port=PORT, client_port=CLIENT_PORT, version=4):
    """An IP packet."""
    ports = (client_port, port) if to_server else (port, client_port)
    datagram = struct.pack(">HHHH", *ports, 8 + len(payload), 0) + payload
    hosts = [(b"\x0a\0\0" if version == 4 else b"\xfd" + bytes(14)) + last for last in (b"\1", b"\2")]
    source, destination = hosts if to_server else hosts[::-1]
    if version == 4:
        return struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(datagram), 0, 0, 64, 17, 0) + source + destination + datagram
    return struct.pack(">IHBB", 0x60000000, len(datagram), 17, 64) + source + destination + datagram


def framed(link, packet):
    """The IP packet as a frame of this link type."""
    protocol = b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd"
    return {
        ETHERNET: bytes(12) + protocol + packet,
        RAW: packet,
        NULL: struct.pack("<I", 2 if packet[0] >> 4 == 4 else 30) + packet,
        COOKED: bytes(14) + protocol + packet,
        COOKED_2: protocol + bytes(18) + packet,
    }[link]


def pcap(folder, packets, link=ETHERNET, snaplen=262144, name="test.pcap"):
    """A capture of IP packets, a millisecond from each to the next."""
    file = pathlib.Path(folder) / name
    data = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, snaplen, link)
    for number, packet in enumerate(packets):
        frame = framed(link, packet)
        cut = frame[:snaplen]
        data += struct.pack("<IIII", 1_800_000_000 + number // 1000, number % 1000 * 1000, len(cut), len(frame)) + cut
    file.write_bytes(data)
    return file


# Results of the two programs.

def inspect(file, *options):
    """By the number of the frame."""
    done = run([OURS, "inspect", "--json", "--capture", str(file), *options])
    # It says so when none of the datagrams is a packet.
    if b"is a packet of PSSST" not in done.stderr:
        expect(done.returncode, 0, f"end of pssst inspect, which says {done.stderr.decode()!r}")
    return {packet["number"]: packet for packet in map(json.loads, done.stdout.splitlines())}


def tshark(file, *options):
    """By the number of the frame, only of frames that the dissector took. Twice through, as Wireshark does."""
    fields = ["frame.number", "frame.protocols", "_ws.expert.message", *("pssst." + field for field in FIELDS)]
    command = ["tshark", "-2", "-r", str(file), "-X", f"lua_script:{SCRIPT}", "-T", "json", *options]
    for field in fields:
        command += ["-e", field]
    # Without a home there are no settings, and no other copy of the script.
    environment = os.environ | {"HOME": str(pathlib.Path(file).parent), "XDG_CONFIG_HOME": str(pathlib.Path(file).parent)}
    done = run(command, env=environment)
    said = done.stderr.decode()
    expect(done.returncode, 0, f"end of tshark, which says {said!r}")
    if "Lua" in said:
        raise AssertionError(f"the dissector fails: {said}")
    frames = {}
    for packet in json.loads(done.stdout or b"[]"):
        layers = packet["_source"]["layers"]
        if "Lua Error" in json.dumps(layers):
            raise AssertionError(f"the dissector fails: {layers}")
        if layers["frame.protocols"][0].endswith(":pssst"):
            frames[int(layers["frame.number"][0])] = {
                "experts": sorted(message for message in layers.get("_ws.expert.message", []) if message in EXPERTS.values()),
            } | {field: layers.get("pssst." + field, [None])[0] for field in FIELDS}
    return frames


def number(text):
    return None if text is None else int(text, 0)


def undigits(text):
    return None if text is None else text.replace(":", "")


def agree(seen, said, what):
    """What tshark saw of a packet is what `pssst inspect` said of it."""
    pairs = [("flags", number(seen["flags"]), said["flags"]), ("suite", number(seen["suite"]), said["suite"]),
             ("flags.reserved", number(seen["flags.reserved"]), said["reserved_flags"]),
             ("kind", seen["kind"], said["kind"]),
             ("exchange_value", undigits(seen["exchange_value"]), said["exchange_value"]),
             ("ciphertext.length", number(seen["ciphertext.length"]), said["ciphertext_length"]),
             ("tag", undigits(seen["tag"]), said["tag"]), ("overhead", number(seen["overhead"]), said["overhead"]),
             ("message_length", number(seen["message_length"]), said["message_length"])]
    events = {event["event"]: event for event in said["events"]}
    reply = events.get("reply", {})
    pairs.append(("request_in", number(seen["request_in"]), reply.get("to")))
    repeated = events.get("repeated_request") or events.get("repeated_reply") or {}
    pairs.append(("repeats", number(seen["repeats"]), repeated.get("of")))
    other = events.get("other_request") or events.get("different_replies") or {}
    pairs.append(("differs", number(seen["differs"]), other.get("than")))
    if seen["time"] is not None:
        if abs(float(seen["time"]) - reply["after"]) > 1e-7:
            raise AssertionError(f"{what}: {seen['time']} s and {reply['after']} s")
    elif "to" in reply:
        raise AssertionError(f"{what}: no time since the request")

    experts = [name for name in events if name in EXPERTS]
    if "different_replies" in events:
        experts.append("danger" if events["different_replies"]["danger"] else "no_danger")
    if said["length"] < 52:
        experts.append("Truncated")
    elif said["overhead"] and said["message_length"] is None:
        experts.append("no_proof")
    if said["reserved_flags"]:
        experts.append("ReservedFlags")
    if said["suite"] is not None and said["suite_name"] is None:
        experts.append("UnsupportedSuite")
    if said["captured"] < said["length"]:
        experts.append("cut")
    pairs.append(("experts", seen["experts"], sorted(EXPERTS[name] for name in experts)))
    for field, got, wanted in pairs:
        expect(got, wanted, f"{what}, {field}")


def both(file, options=(), tshark_options=()):
    """What both see in a capture, once they agree."""
    said, seen = inspect(file, *options), tshark(file, *tshark_options)
    expect(sorted(seen), sorted(said), "frames that are packets")
    for frame in said:
        agree(seen[frame], said[frame], f"frame {frame}")
    return seen, said


def true_fields(packet):
    """The outer fields of a whole packet, from its bytes alone."""
    flags, suite = struct.unpack(">HH", packet[:4])
    overhead = 116 if flags & 0xC000 == 0x4000 else 52
    return {
        "flags": flags, "suite": suite, "kind": "reply" if flags & 0x8000 else "request",
        "exchange_value": packet[4:36].hex(), "ciphertext": packet[36:-16].hex() or None, "tag": packet[-16:].hex(),
        "overhead": overhead, "message_length": len(packet) - overhead if len(packet) >= overhead else None,
    }


def expect_truth(seen, packet, what):
    wanted = true_fields(packet)
    numbers = {field: number(seen[field]) for field in ("flags", "suite", "overhead", "message_length")}
    digits = {field: undigits(seen[field]) for field in ("exchange_value", "ciphertext", "tag")}
    expect(numbers | digits | {"kind": seen["kind"]}, wanted, what)


def vectors(*kinds):
    for file in VECTORS:
        for group in json.loads(file.read_text())["testGroups"]:
            if group["type"] in kinds:
                yield from group["tests"]


# The checks.

@check("every packet of the vectors")
def every_vector(folder):
    packets = []
    for case in vectors("Transaction", "ServerRejects", "ClientRejects"):
        for field in ("request_packet", "reply_packet"):
            packet = bytes.fromhex(case.get(field, ""))
            # Wireshark does not call a dissector for nothing.
            if packet and len(packet) < 20_000:
                packets.append((packet, field == "request_packet"))
    seen, _ = both(pcap(folder, [udp(packet, to_server) for packet, to_server in packets]))
    expect(len(seen), len(packets), "packets")
    for frame, (packet, _) in enumerate(packets, 1):
        if len(packet) >= 52:
            expect_truth(seen[frame], packet, f"frame {frame}")


@check("requests and replies find each other, repetitions are noticed")
def transactions(folder):
    case = next(vectors("Transaction"))
    request, reply = bytes.fromhex(case["request_packet"]), bytes.fromhex(case["reply_packet"])
    changed = request[:-1] + bytes([request[-1] ^ 1])
    packets = [udp(reply, False), udp(request), udp(request, client_port=5), udp(request), udp(reply, False),
               udp(reply, False, client_port=5), udp(changed), udp(reply, False, client_port=6)]
    seen, _ = both(pcap(folder, packets))
    names = ("request_in", "response_in", "time", "repeats", "differs")
    got = [tuple(seen[frame][name] for name in names) for frame in range(1, 9)]
    expect(got, [
        (None, None, None, None, None),
        (None, "5", None, None, None),
        (None, "6", None, "2", None),
        (None, None, None, "2", None),
        ("2", None, "0.003000000", "1", None),
        ("3", None, "0.003000000", "1", None),
        (None, None, None, None, "2"),
        (None, None, None, "1", None),
    ], names)
    expect(seen[1]["experts"], [EXPERTS["no_request"]], "a reply without its request")


@check("two different replies: a danger under suite 1, none under 0xf001")
def two_replies(folder):
    for case, expert in zip(vectors("TwoReplies"), ("danger", "no_danger"), strict=True):
        packets = [udp(bytes.fromhex(case["request_packet"])), udp(bytes.fromhex(case["reply_packet"]), False),
                   udp(bytes.fromhex(case["request_packet"])), udp(bytes.fromhex(case["reply_packet_2"]), False)]
        file = pcap(folder, packets)
        seen, _ = both(file)
        expect(seen[4]["experts"], [EXPERTS[expert]], "the second reply")
        expect(seen[4]["differs"], "2", "which reply it differs from")
        key = pathlib.Path(folder) / "two.key"
        key.write_text(case["server_secret"])
        key.chmod(0o600)
        opened = inspect(file, "--secret-key", str(key))
        expect(opened[4]["opened"]["message"], case["reply_message_2"], "message of the second reply")
        expect(opened[4]["events"][1]["genuine"], True, "whether both are genuine")


@check("packets that are too short, cut by the capture, or of other link types")
def edges(folder):
    case = list(vectors("Transaction"))[12]
    request, reply = bytes.fromhex(case["request_packet"]), bytes.fromhex(case["reply_packet"])
    both(pcap(folder, [udp(request[:length]) for length in range(1, len(request) + 1)]))
    # Wireshark does not call a dissector for nothing.
    for snaplen in range(43, 42 + len(request) + 4, 3):
        both(pcap(folder, [udp(request), udp(reply, False)], snaplen=snaplen))
    for link in (ETHERNET, RAW, NULL, COOKED, COOKED_2):
        for version in (4, 6):
            seen, _ = both(pcap(folder, [udp(request, version=version), udp(reply, False, version=version)], link=link))
            expect_truth(seen[1], request, f"link type {link}, IPv{version}")
            expect(seen[2]["request_in"], "1", f"link type {link}, IPv{version}")


@check("thousands of packets by chance")
def by_chance(folder):
    seed = random.randrange(1 << 32)
    print(f"        seed {seed}")
    chance = random.Random(seed)
    cases = list(vectors("Transaction"))[:8]
    samples = [bytes.fromhex(case[field]) for case in cases for field in ("request_packet", "reply_packet")]
    packets = []
    for _ in range(3000):
        packet = bytearray(chance.choice(samples) if chance.random() < 0.7 else chance.randbytes(chance.randrange(1, 200)))
        for _ in range(chance.randrange(3)):
            packet[chance.randrange(len(packet))] = chance.randrange(256)
        if chance.random() < 0.2:
            packet = packet[:chance.randrange(1, len(packet) + 1)]
        packets.append(udp(bytes(packet), to_server=chance.random() < 0.5, client_port=chance.choice((5, 6))))
    both(pcap(folder, packets))


@check("another port, by the preference and by Decode As")
def ports(folder):
    case = next(vectors("Transaction"))
    request = bytes.fromhex(case["request_packet"])
    file = pcap(folder, [udp(request, port=5000), udp(request)])
    expect(sorted(tshark(file)), [2], "frames on the default port")
    both(file, ["--port", "5000"], ["-o", "pssst.port:5000"])
    expect(sorted(tshark(file, "-o", "pssst.port:5000")), [1], "frames on the port of the preference")
    both(file, ["--port", "5000", "--port", str(PORT)], ["-d", "udp.port==5000,pssst"])


def may_capture():
    if not shutil.which("dumpcap"):
        return False
    return run(["dumpcap", "-i", "lo", "-a", "duration:1", "-w", os.devnull]).returncode == 0


@check("a real server and its clients, captured on loopback")
def real(folder):
    expect(may_capture(), True, "whether dumpcap may capture on loopback")
    public = {}
    for name in ("server", "client"):
        file = os.path.join(folder, name + ".key")
        public[name] = run([OURS, "keygen", "--out", file], check=True).stdout.decode().strip()
    key, identity = (os.path.join(folder, name + ".key") for name in ("server", "client"))
    capture = pathlib.Path(folder) / "real.pcapng"
    serve = [OURS, "serve", "--listen", "127.0.0.1:0", "--secret-key", key]
    server = subprocess.Popen(serve, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    dumpcap = None
    try:
        port = server.stdout.readline().split()[-1].rsplit(":", 1)[-1]
        command = ["dumpcap", "-q", "-i", "lo", "-f", f"udp port {port}", "-w", str(capture)]
        dumpcap = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        for line in dumpcap.stderr:
            if line.startswith("File:"):
                break
        ask = [OURS, "request", "--server", f"127.0.0.1:{port}", "--server-key", public["server"], "--timeout", "20"]
        known = ["--identity", identity]
        lines = [["one", "--suite", "1"], ["two"], ["three", *known, "--suite", "1"], ["four", *known]]
        for line in lines:
            done = run([*ask, *line], check=True)
            expect(done.stdout.decode(), line[0], "what the server answers")
        wait_for_frames(capture, port, 8)
    finally:
        for process in (dumpcap, server):
            if process:
                process.send_signal(signal.SIGINT)
                process.wait(PATIENCE_SECONDS)
    seen, _ = both(capture, ["--port", port], ["-o", f"pssst.port:{port}"])
    expect(len(seen), 8, "packets")
    opened = inspect(capture, "--port", port, "--secret-key", key)
    for place, line in enumerate(lines):
        request, reply = opened[2 * place + 1], opened[2 * place + 2]
        expect((request["opened"]["text"], reply["opened"]["text"]), (line[0], line[0]), "messages")
        expect(request["opened"]["client_key"], public["client"] if "--identity" in line else None, "the client's key")
        expect(request["opened"]["server_key"], public["server"], "the server's key")
        expect(seen[2 * place + 2]["request_in"], str(2 * place + 1), "the reply's request")


def wait_for_frames(capture, port, wanted):
    """Until dumpcap, which is in no hurry, has written so many."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        done = run([OURS, "inspect", "--json", "--capture", str(capture), "--port", port])
        if len(done.stdout.splitlines()) >= wanted:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"of {wanted} packets, the capture has {len(done.stdout.splitlines())}")
        time.sleep(0.1)


if __name__ == "__main__":
    OURS = os.path.abspath(sys.argv[1])
    sys.exit(run_checks(tempfile.TemporaryDirectory))
