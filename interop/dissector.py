"""Compares the Wireshark dissector with what the bytes say, and with `pssst inspect`.

  dissector.py [PSSST]    where PSSST is our program; without it, only tshark and the bytes

Needs tshark 4 (Debian's package of that name), and Python alone. Captures are made from the test
vectors, by chance, and of a real server and its clients on loopback, which dumpcap must be allowed
to capture (as root it is). Prints a line for each check, and last `N passed, N failed`. Fails if
one fails.
"""

import collections
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
VECTORS = [ROOT / "crates/pssst/tests/vectors" / f"pssst-suite-{suite}.json"
           for suite in ("1", "f002", "f003", "f0e1")]
PATIENCE_SECONDS = 60
PORT = 45678
CLIENT_PORT = 40000
REPLY, CLIENT_AUTH, PADDED, PRE_SHARED_KEY, FRESH_REPLY = 0x8000, 0x4000, 0x2000, 0x1000, 0x0800
SUITES = (0x0001, 0xF002, 0xF003, 0xF0E1)
# Packets of a transaction that both programs remember, requests and replies by themselves.
REMEMBERED = 8
ETHERNET, RAW, NULL, COOKED, COOKED_2 = 1, 101, 0, 113, 276

# Texts of expert infos, by the event of `pssst inspect`, the refusal or the state.
EXPERTS = {
    "Truncated": "Too short for a packet (truncated)",
    "BadPadding": "Marked as padded, without room for padding (bad_padding)",
    "ReservedFlags": "Reserved flags are set (reserved_flags)",
    "UnsupportedSuite": "Unknown suite (unsupported_suite)",
    "enrolment": "The suite of enrolment over HTTPS, which every UDP server refuses (unsupported_suite)",
    "cut": "The capture does not have all of the packet",
    "repeated_request": "The same request again",
    "repeated_reply": "The same reply again",
    "other_request": "Another request with the same exchange value, or its first 8 bytes: changed, or made up",
    "no_request": "A reply to no request before it",
    "danger": "DANGER: two different replies to one request under suite 1; unless one was made up, "
    "whoever saw both can forge a third",
    "no_danger": "Two different replies to one request, which is harmless under this suite",
}
# Those that say how a packet relates to others.
EVENTS = ("repeated_request", "repeated_reply", "other_request", "no_request", "danger", "no_danger")
FLAGS = {"flags.reply": REPLY, "flags.client_auth": CLIENT_AUTH, "flags.padded": PADDED,
         "flags.pre_shared_key": PRE_SHARED_KEY, "flags.fresh_reply": FRESH_REPLY}
NUMBERS = ["flags", "flags.reserved", "suite", "ciphertext.length", "overhead", "message_length", "request_in",
           "response_in", "repeats", "differs"]
BYTES = ["exchange_value", "kem_ciphertext", "masked_client_key", "client_key_check", "reply_exchange_value",
         "ciphertext", "tag", "data"]
FIELDS = [*FLAGS, *NUMBERS, *BYTES, "kind", "time"]


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


LINK_HEADERS = {ETHERNET: 14, RAW: 0, NULL: 4, COOKED: 16, COOKED_2: 20}


def datagrams(file):
    """Every UDP datagram of a capture of ours: its time, ports, bytes that are there, and length."""
    data = file.read_bytes()
    link, place = struct.unpack("<I", data[20:24])[0], 24
    while place < len(data):
        seconds, microseconds, captured = struct.unpack("<III", data[place:place + 12])
        packet = data[place + 16 + LINK_HEADERS[link]:place + 16 + captured]
        place += 16 + captured
        header = packet[20 if packet[0] >> 4 == 4 else 40:]
        source, destination, length = struct.unpack(">HHH", header[:6])
        yield seconds * 1_000_000 + microseconds, source, destination, header[8:], length - 8


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
    """What `pssst inspect` says of each packet, by the number of the frame."""
    done = run([OURS, "inspect", "--json", "--capture", str(file), *options])
    # It says so when none of the datagrams is a packet.
    if b"is a packet of PSSST" not in done.stderr:
        expect(done.returncode, 0, f"end of pssst inspect, which says {done.stderr.decode()!r}")
    return {packet["number"]: packet for packet in map(json.loads, done.stdout.splitlines())}


def tshark(file, *options):
    """What the dissector found in each frame that it took, in two passes as in Wireshark."""
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
            } | {field: value(field, layers.get("pssst." + field, [None])[0]) for field in FIELDS}
    return frames


def value(field, text):
    if text is None or field == "kind":
        return text
    if field in FLAGS:
        return text in ("1", "True")
    if field == "time":
        return round(float(text) * 1_000_000)
    return int(text, 0) if field in NUMBERS else text.replace(":", "")


# The bytes themselves.

def shape(flags, suite):
    """The fields between header and ciphertext, with their lengths. None for an unknown suite."""
    if suite not in SUITES:
        return None
    if suite == 0x0001:
        return [("exchange_value", 32)]
    if flags & REPLY:
        return [("exchange_value", 8)] + [("reply_exchange_value", 32)] * bool(flags & FRESH_REPLY)
    key = [("masked_client_key", 32), ("client_key_check", 8)] * bool(flags & CLIENT_AUTH)
    return [("exchange_value", 32)] + [("kem_ciphertext", 1088)] * (suite == 0xF003) + key


def overhead(flags, suite):
    """Bytes around a message: the least length of a packet. None for an unknown suite."""
    fields = shape(flags, suite)
    proof = 64 * (suite == 0x0001 and flags & (REPLY | CLIENT_AUTH) == CLIENT_AUTH)
    return None if fields is None else 4 + sum(length for _, length in fields) + proof + 16


def reserved_flags(flags, suite):
    if suite == 0x0001:
        return flags & 0x3FFF
    may_be_keyed = flags & CLIENT_AUTH and suite != 0xF0E1
    return flags & (0x07FF if may_be_keyed else 0x17FF)


def dissect(packet, length):
    """The fields of a packet of this length, of which these first bytes are there, and the experts."""
    fields, experts = dict.fromkeys(FIELDS), set()
    if len(packet) < length:
        experts.add("cut")
    least, parts = 28, None
    if len(packet) >= 4:
        flags, suite = struct.unpack(">HH", packet[:4])
        reserved, parts = reserved_flags(flags, suite), shape(flags, suite)
        fields |= {"flags": flags, "suite": suite, "flags.reserved": reserved,
                   "kind": "reply" if flags & REPLY else "request"}
        fields |= {name: bool(flags & bit) for name, bit in FLAGS.items()
                   if suite != 0x0001 or bit in (REPLY, CLIENT_AUTH)}
        experts |= {"ReservedFlags"} if reserved else set()
        experts |= {"UnsupportedSuite"} if parts is None else {"enrolment"} if suite == 0xF0E1 else set()
        least = overhead(flags, suite) or (28 if flags & REPLY else 52)
    if length < least or parts is None:
        experts |= {"Truncated"} if length < least else set()
        fields["data"] = packet[4:].hex() or None if length < least or len(packet) >= 4 else None
        return fields, experts
    place = 4
    for name, size in [*parts, ("ciphertext", length - 16 - 4 - sum(size for _, size in parts)), ("tag", 16)]:
        if name == "ciphertext":
            fields["ciphertext.length"] = size
        if len(packet) >= place + size:
            fields[name] = packet[place:place + size].hex() or None
        place += size
    is_padded = suite != 0x0001 and flags & PADDED
    fields |= {"overhead": least, "message_length": None if is_padded else length - least}
    if is_padded and length == least:
        experts.add("BadPadding")
    return fields, experts


def truth(file, ports):
    """What the bytes of a capture say, in the form that `tshark` returns."""
    transactions = collections.defaultdict(lambda: {"request": [], "reply": []})
    frames = {}
    for frame, (time, source, destination, packet, length) in enumerate(datagrams(file), 1):
        if not {source, destination} & set(ports):
            continue
        fields, experts = dissect(packet, length)
        frames[frame] = fields
        if fields["exchange_value"]:
            kind = fields["kind"]
            ends = (destination, source) if kind == "reply" else (source, destination)
            linked = packet[2:36 if fields["suite"] == 0x0001 else 12]
            transaction = transactions[linked]
            if kind == "reply":
                request = next((seen for seen in transaction["request"] if seen["ends"] == ends), None)
                if request:
                    fields |= {"request_in": request["frame"], "time": time - request["time"]}
                    frames[request["frame"]]["response_in"] = frames[request["frame"]]["response_in"] or frame
                else:
                    experts.add("no_request")
            if len(packet) == length:
                whole = [seen for seen in transaction[kind] if seen["packet"]]
                same = [seen["frame"] for seen in whole if seen["packet"] == packet]
                if same:
                    fields["repeats"] = same[0]
                    experts.add("repeated_" + kind)
                elif whole:
                    fields["differs"] = whole[0]["frame"]
                    experts.add("other_request" if kind == "request" else
                                "danger" if fields["suite"] == 0x0001 else "no_danger")
            if len(transaction[kind]) < REMEMBERED:
                seen = {"frame": frame, "time": time, "ends": ends, "packet": len(packet) == length and packet}
                transaction[kind].append(seen)
        fields["experts"] = sorted(EXPERTS[name] for name in experts)
    return frames


# Comparisons.

def agree(seen, said, what):
    """Expects `pssst inspect` to say of a packet what tshark shows."""
    pairs = [("flags", said["flags"]), ("suite", said["suite"]), ("flags.reserved", said["reserved_flags"]),
             ("kind", said["kind"])]
    # Of a packet that is too short or of an unknown suite, only the header has a meaning.
    if seen["overhead"] is not None:
        pairs += [("exchange_value", said["exchange_value"]), ("ciphertext.length", said["ciphertext_length"]),
                  ("tag", said["tag"]), ("overhead", said["overhead"]), ("message_length", said["message_length"])]
    events = {event["event"]: event for event in said["events"]}
    reply = events.get("reply", {})
    repeated = events.get("repeated_request") or events.get("repeated_reply") or {}
    other = events.get("other_request") or events.get("different_replies") or {}
    pairs += [("request_in", reply.get("to")), ("repeats", repeated.get("of")), ("differs", other.get("than")),
              ("time", round(reply["after"] * 1_000_000) if "to" in reply else None)]
    for field, wanted in pairs:
        expect(seen[field], wanted, f"{what}, {field}")
    experts = [name for name in events if name in EVENTS]
    if "different_replies" in events:
        experts.append("danger" if events["different_replies"]["danger"] else "no_danger")
    shown = [name for name in EVENTS if EXPERTS[name] in seen["experts"]]
    expect(shown, [name for name in EVENTS if name in experts], f"{what}, experts")


def compare(file, options=(), tshark_options=(), ports=(PORT,)):
    """What tshark shows of a capture, once the bytes and `pssst inspect` agree."""
    seen = tshark(file, *tshark_options)
    if file.suffix == ".pcap":
        wanted = truth(file, ports)
        expect(sorted(seen), sorted(wanted), "frames that are packets")
        for frame in wanted:
            for field in wanted[frame]:
                expect(seen[frame][field], wanted[frame][field], f"frame {frame}, {field}")
    if OURS:
        said = inspect(file, *options)
        expect(sorted(seen), sorted(said), "frames that are packets")
        for frame in said:
            agree(seen[frame], said[frame], f"frame {frame}")
    return seen


def vectors(*kinds):
    for file in VECTORS:
        document = json.loads(file.read_text())
        for group in document["testGroups"]:
            if group["type"] in kinds:
                for case in group["tests"]:
                    yield case | {"suite": document["suite"]["id"], "kind": group["type"]}


def packets_of(case):
    return [bytes.fromhex(case[field]) for field in ("request_packet", "reply_packet")]


def transaction(suite, flags):
    """The first transaction of the vectors with a request of this suite and these flags."""
    header = struct.pack(">HH", flags, suite).hex()
    return next(case for case in vectors("Transaction") if case["request_packet"].startswith(header))


# The checks.

@check("every packet of the vectors")
def every_vector(folder):
    packets, about = [], []
    for index, case in enumerate(vectors("Transaction", "TwoReplies", "ServerAccepts", "ServerRejects", "ClientRejects")):
        for field in ("request_packet", "reply_packet", "reply_packet_2", "then_true_reply"):
            packet = bytes.fromhex(case.get(field, ""))
            # Wireshark does not call a dissector for an empty datagram.
            if packet and len(packet) < 20_000:
                # Above the server's port: Wireshark prefers the dissector of the lower port.
                packets.append(udp(packet, field == "request_packet", client_port=50_000 + index))
                about.append((case, field))
    seen = compare(pcap(folder, packets))
    expect(len(seen), len(packets), "packets")
    for frame, (case, field) in enumerate(about, 1):
        what = f"suite {case['suite']}, case {case['id']}, {field}"
        experts = {name for name, text in EXPERTS.items() if text in seen[frame]["experts"]}
        wrong = experts & {"Truncated", "ReservedFlags", "UnsupportedSuite"}
        refused = {"ServerRejects": "request_packet", "ClientRejects": "reply_packet"}.get(case["kind"])
        if field == refused:
            error = case["error"]
            if error in ("Truncated", "ReservedFlags"):
                expect(error in wrong, True, f"{what}: {error} is shown")
            elif case["suite"] == 1 and error == "DecryptFailed" and seen[frame]["flags.client_auth"]:
                # A server may decrypt before it looks for the proof of suite 1.
                expect(wrong - {"Truncated"}, set(), f"{what}: {error}")
            elif error not in ("NotRequest", "NotReply", "UnsupportedSuite"):
                expect(wrong, set(), f"{what}: {error}")
        elif field != "request_packet" or case["kind"] != "ServerRejects":
            expect(wrong, set(), what)
        if case["kind"] == "Transaction":
            expect_transaction(seen, frame, case, field, what)


def expect_transaction(seen, frame, case, field, what):
    """Expects the parts of a packet that the vectors name."""
    name = field.removesuffix("_packet")
    is_padded = f"{name}_padded_to" in case
    length = None if is_padded else len(case[f"{name}_message"]) // 2
    expect(seen[frame]["message_length"], length, f"{what}, length of the message")
    if case["suite"] != 1:
        flags = [seen[frame]["flags." + flag] for flag in ("client_auth", "padded", "pre_shared_key", "fresh_reply")]
        wanted = ["client_public" in case, is_padded, "psk" in case, "fresh" in case]
        expect(flags, wanted, f"{what}, flags")
    if field == "reply_packet":
        expect(seen[frame]["request_in"], frame - 1, f"{what}, request")
        expect(seen[frame - 1]["response_in"], frame, f"{what}, reply")
        expect(seen[frame]["reply_exchange_value"] is not None, "fresh" in case, f"{what}, a value of the reply")
    elif case["suite"] != 1 and "client_public" in case and "steps" in case:
        key, mask = (int(text, 16) for text in (case["client_public"], case["steps"]["mask"]))
        expect(seen[frame]["masked_client_key"], f"{key ^ mask:064x}", f"{what}, masked key")
        expect(seen[frame]["client_key_check"], case["steps"]["t"], f"{what}, check of the key")


@check("the vectors have every suite in every mode")
def every_mode(_):
    modes = collections.defaultdict(set)
    for case in vectors("Transaction"):
        for packet in packets_of(case):
            flags, suite = struct.unpack(">HH", packet[:4])
            modes[suite].add(flags)
    expect(sorted(modes), list(SUITES), "suites")
    for suite in SUITES:
        possible = {1: (0, CLIENT_AUTH)}.get(suite, (0, CLIENT_AUTH, PADDED, CLIENT_AUTH | FRESH_REPLY))
        possible += (CLIENT_AUTH | PRE_SHARED_KEY,) * (suite in (0xF002, 0xF003))
        for mode in possible:
            for kind in (0, REPLY):
                found = any(flags & (mode | REPLY) == mode | kind for flags in modes[suite])
                expect(found, True, f"suite {suite:#06x}, flags {mode | kind:#06x}")


@check("the shortest packets")
def shortest(folder):
    lengths = {
        (0x0001, 0): 52, (0x0001, CLIENT_AUTH): 116, (0x0001, REPLY): 52, (0x0001, REPLY | CLIENT_AUTH): 52,
        (0xF001, 0): 52, (0xF001, CLIENT_AUTH): 52, (0xF001, REPLY): 28, (0xF001, REPLY | FRESH_REPLY): 28,
    }
    for suite, ciphertext in ((0xF002, 0), (0xF003, 1088), (0xF0E1, 0)):
        for flags in (0, PADDED, FRESH_REPLY):
            lengths |= {(suite, flags): 52 + ciphertext, (suite, flags | CLIENT_AUTH): 92 + ciphertext}
        for flags in (0, CLIENT_AUTH, PADDED, CLIENT_AUTH | PRE_SHARED_KEY):
            lengths |= {(suite, flags | REPLY): 28, (suite, flags | REPLY | FRESH_REPLY): 60}
    packets = [udp(struct.pack(">HH", flags, suite) + bytes(length - less - 4))
               for (suite, flags), length in lengths.items() for less in (1, 0)]
    seen = compare(pcap(folder, packets))
    for place, ((suite, flags), length) in enumerate(lengths.items()):
        for less in (1, 0):
            experts = seen[2 * place + 2 - less]["experts"]
            what = f"suite {suite:#06x}, flags {flags:#06x}, {length - less} bytes"
            expect(EXPERTS["Truncated"] in experts, bool(less), f"{what}: too short")
            expect(EXPERTS["UnsupportedSuite"] in experts, suite == 0xF001, f"{what}: unknown suite")
            expect(EXPERTS["BadPadding"] in experts, not less and bool(flags & PADDED), f"{what}: padding")


@check("reserved flags of every suite")
def reserved(folder):
    expected = []
    for suite in (*SUITES, 0xF001):
        for bit in range(16):
            for flags in {1 << bit, 1 << bit | CLIENT_AUTH, 1 << bit | REPLY}:
                zero = 0x3FFF if suite == 1 else 0x17FF if suite == 0xF0E1 or not flags & CLIENT_AUTH else 0x07FF
                expected.append((suite, flags, flags & zero))
    packets = [struct.pack(">HH", flags, suite) + random.randbytes(1200) for suite, flags, _ in expected]
    seen = compare(pcap(folder, [udp(packet) for packet in packets]))
    for frame, (suite, flags, wanted) in enumerate(expected, 1):
        what = f"suite {suite:#06x}, flags {flags:#06x}"
        expect(seen[frame]["flags.reserved"], wanted, what)
        expect(EXPERTS["ReservedFlags"] in seen[frame]["experts"], wanted != 0, what)


@check("requests and replies find each other, repetitions are noticed")
def transactions(folder):
    for suite, flags in ((0x0001, 0), (0xF002, CLIENT_AUTH), (0xF002, FRESH_REPLY), (0xF003, CLIENT_AUTH), (0xF0E1, 0)):
        request, reply = packets_of(transaction(suite, flags))
        changed = request[:-1] + bytes([request[-1] ^ 1])
        packets = [udp(reply, False), udp(request), udp(request, client_port=5), udp(request), udp(reply, False),
                   udp(reply, False, client_port=5), udp(changed), udp(reply, False, client_port=6)]
        seen = compare(pcap(folder, packets))
        names = ("request_in", "response_in", "time", "repeats", "differs")
        got = [tuple(seen[frame][name] for name in names) for frame in range(1, 9)]
        expect(got, [
            (None, None, None, None, None),
            (None, 5, None, None, None),
            (None, 6, None, 2, None),
            (None, None, None, 2, None),
            (2, None, 3000, 1, None),
            (3, None, 3000, 1, None),
            (None, None, None, None, 2),
            (None, None, None, 1, None),
        ], f"suite {suite:#06x}, {names}")
        expect(EXPERTS["no_request"] in seen[1]["experts"], True, "a reply without its request")


@check("the bytes that link a reply to its request")
def linked(folder):
    for suite in SUITES:
        request, reply = packets_of(transaction(suite, CLIENT_AUTH))
        last = 35 if suite == 1 else 11
        packets = [udp(request)]
        # The last linking byte, and the byte behind it.
        for place in (last, last + 1):
            packets.append(udp(reply[:place] + bytes([reply[place] ^ 1]) + reply[place + 1:], False))
        # The reply, under each suite.
        packets += [udp(reply[:2] + struct.pack(">H", other) + reply[4:] + bytes(40), False) for other in SUITES]
        seen = compare(pcap(folder, packets))
        got = [seen[frame]["request_in"] for frame in range(2, 8)]
        expect(got, [None, 1, *(1 if other == suite else None for other in SUITES)], f"suite {suite:#06x}")


@check("two different replies: a danger under suite 1, none under the others")
def two_replies(folder):
    for case in vectors("TwoReplies"):
        what = f"suite {case['suite']}, case {case['id']}"
        packets = [udp(bytes.fromhex(case["request_packet"])), udp(bytes.fromhex(case["reply_packet"]), False),
                   udp(bytes.fromhex(case["request_packet"])), udp(bytes.fromhex(case["reply_packet_2"]), False)]
        file = pcap(folder, packets)
        seen = compare(file)
        expect(seen[4]["experts"], [EXPERTS["danger" if case["suite"] == 1 else "no_danger"]], f"{what}: second reply")
        expect(seen[4]["differs"], 2, f"{what}: which reply it differs from")
        # The server's key does not open a fresh reply, nor one under a pre-shared key.
        if OURS and case["suite"] in (0x0001, 0xF002) and "fresh" not in case and "psk" not in case:
            key = pathlib.Path(folder) / f"{case['suite']}-{case['id']}.key"
            key.write_text(case["server_secret"])
            key.chmod(0o600)
            opened = inspect(file, "--secret-key", str(key))
            expect(opened[4]["opened"]["message"], case["reply_message_2"], f"{what}: message of the second reply")
            expect(opened[4]["events"][1]["genuine"], True, f"{what}: whether both are genuine")


@check("packets that are too short, cut by the capture, or of other link types")
def edges(folder):
    for suite, flags in ((0x0001, CLIENT_AUTH), (0xF002, CLIENT_AUTH | FRESH_REPLY), (0xF003, CLIENT_AUTH), (0xF0E1, 0)):
        request, reply = packets_of(transaction(suite, flags))
        for packet, to_server in ((request, True), (reply, False)):
            compare(pcap(folder, [udp(packet[:length], to_server) for length in range(1, len(packet) + 1)]))
        # The captured bytes end in every field, and on both sides of its end. Wireshark does not
        # call a dissector for an empty datagram.
        ends = {1, 3, 4, 5, 11, 12, 13, 35, 36, 37, 43, 44, 45, 67, 68, 75, 76, 77, 1123, 1124, 1125, 1155, 1156, 1163,
                1164, 1165, len(request) - 17, len(request) - 16, len(request) - 1, len(reply) - 1}
        for end in sorted(end for end in ends if end <= len(request)):
            compare(pcap(folder, [udp(request), udp(reply, False)], snaplen=42 + end))
        for link in LINK_HEADERS:
            packets = [udp(packet, to_server, version=version) for version in (4, 6)
                       for packet, to_server in ((request, True), (reply, False))]
            seen = compare(pcap(folder, packets, link=link))
            expect([seen[frame]["request_in"] for frame in (2, 4)], [1, 1], f"link type {link}")


@check("thousands of packets by chance")
def by_chance(folder):
    seed = random.randrange(1 << 32)
    print(f"        seed {seed}")
    chance = random.Random(seed)
    cases = {(case["suite"], case["request_packet"][:4]): case for case in vectors("Transaction")}
    samples = [packet for case in cases.values() for packet in packets_of(case)]
    packets = []
    for _ in range(3000):
        packet = bytearray(chance.choice(samples) if chance.random() < 0.7 else chance.randbytes(chance.randrange(1, 200)))
        for _ in range(chance.randrange(3)):
            # Half of them in the header and the exchange value.
            packet[chance.randrange(min(len(packet), chance.choice((16, 2000))))] = chance.randrange(256)
        if chance.random() < 0.2:
            packet = packet[:chance.randrange(1, len(packet) + 1)]
        packets.append(udp(bytes(packet), to_server=chance.random() < 0.5, client_port=chance.choice((5, 6))))
    compare(pcap(folder, packets))


@check("another port, by the preference and by Decode As")
def ports(folder):
    request, _ = packets_of(transaction(0xF002, CLIENT_AUTH))
    file = pcap(folder, [udp(request, port=5000), udp(request)])
    expect(sorted(tshark(file)), [2], "frames on the default port")
    compare(file, ["--port", "5000"], ["-o", "pssst.port:5000"], [5000])
    expect(sorted(tshark(file, "-o", "pssst.port:5000")), [1], "frames on the port of the preference")
    compare(file, ["--port", "5000", "--port", str(PORT)], ["-d", "udp.port==5000,pssst"], [5000, PORT])


@check("the filters of docs/inspect.md")
def filters(folder):
    packets, request_frames = [], []
    for suite in SUITES:
        request, reply = packets_of(transaction(suite, CLIENT_AUTH))
        request_frames.append(len(packets) + 1)
        packets += [udp(request), udp(reply, False), udp(request)]
    file = pcap(folder, packets)
    for frame in request_frames:
        value = packets[frame - 1][28 + 4:28 + 12].hex(":")
        found = sorted(tshark(file, "-Y", f"pssst.exchange_value[0:8] == {value}"))
        expect(found, [frame, frame + 1, frame + 2], "frames of one transaction")
    unanswered = 'pssst.kind == "request" && !pssst.response_in && !pssst.repeats'
    expect(sorted(tshark(file, "-Y", unanswered)), [], "requests without a reply")
    expect(sorted(tshark(file, "-Y", "pssst.repeated_request")), [frame + 2 for frame in request_frames], "repetitions")
    expect(sorted(tshark(file, "-Y", "pssst.suite == 0xf003")), [7, 8, 9], "frames of a suite")
    refused = "pssst.flags.reserved != 0 || pssst.unknown_suite || pssst.truncated || pssst.enrolment_suite"
    expect(sorted(tshark(file, "-Y", refused)), [10, 11, 12], "packets that every server refuses")


def may_capture():
    if not shutil.which("dumpcap"):
        return False
    return run(["dumpcap", "-i", "lo", "-a", "duration:1", "-w", os.devnull]).returncode == 0


@check("a real server and its clients, captured on loopback")
def real(folder):
    if not OURS:
        print("        skipped, since it needs our program")
        return
    expect(may_capture(), True, "whether dumpcap may capture on loopback")
    public = {}
    for name in ("server", "client"):
        file = os.path.join(folder, name + ".key")
        public[name] = run([OURS, "keygen", "--out", file], check=True).stdout.decode().strip()
    key, identity = (os.path.join(folder, name + ".key") for name in ("server", "client"))
    server_key_in_hex = run([OURS, "pubkey", "--hex", key], check=True).stdout.decode().strip()
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
        newer = ["--suite", "f002"]
        lines = [["one", "--suite", "1"], ["two", *newer], ["three", *known, "--suite", "1"], ["four", *known, *newer]]
        for line in lines:
            done = run([*ask, *line], check=True)
            expect(done.stdout.decode(), line[0], "what the server answers")
        wait_for_frames(capture, port, 8)
    finally:
        for process in (dumpcap, server):
            if process:
                process.send_signal(signal.SIGINT)
                process.wait(PATIENCE_SECONDS)
    seen = compare(capture, ["--port", port], ["-o", f"pssst.port:{port}"])
    expect(len(seen), 8, "packets")
    opened = inspect(capture, "--port", port, "--secret-key", key)
    for place, line in enumerate(lines):
        request, reply = opened[2 * place + 1], opened[2 * place + 2]
        expect((request["opened"]["text"], reply["opened"]["text"]), (line[0], line[0]), "messages")
        expect(request["opened"]["client_key"], public["client"] if "--identity" in line else None, "the client's key")
        expect(request["opened"]["server_key"], server_key_in_hex, "the server's key")
        expect(seen[2 * place + 2]["request_in"], 2 * place + 1, "the reply's request")


def wait_for_frames(capture, port, wanted):
    """Waits until dumpcap has written so many."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        done = run([OURS, "inspect", "--json", "--capture", str(capture), "--port", port])
        if len(done.stdout.splitlines()) >= wanted:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"of {wanted} packets, the capture has {len(done.stdout.splitlines())}")
        time.sleep(0.1)


if __name__ == "__main__":
    OURS = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else None
    sys.exit(run_checks(tempfile.TemporaryDirectory))
