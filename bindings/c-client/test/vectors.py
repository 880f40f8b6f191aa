#!/usr/bin/env python3
"""Prints the project's test vectors as lines for `vectors.c`: words with a space between them, `-` for what is not there.

Every case of every file becomes a line, also those that only a server can run, so that none is
forgotten without a number. `--table N` prints transactions of up to N bytes as a table of C;
`--corpus FOLDER` writes what the fuzzers begin with.
"""

import argparse
import base64
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SUITES = ["1", "f002", "f003", "f0e1"]


def snake(name):
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def cases():
    for suite in SUITES:
        vectors = json.loads((ROOT / f"crates/pssst/tests/vectors/pssst-suite-{suite}.json").read_text())
        count = 0
        for group in vectors["testGroups"]:
            for case in group["tests"]:
                count += 1
                yield suite, group["type"], case
        assert count == vectors["numberOfTests"], f"suite {suite}: {count} cases"


def word(value):
    if value is None:
        return "-"
    if value is True:
        return "1"
    return str(value) if str(value) else "."


def line(kind, suite, case):
    """A transaction, a refusal at the client, a key to be refused, or a packet that is no reply."""
    psk = case.get("psk") if "psk" in case else None
    replies = [("ok", case["reply_packet"], case["reply_message"])] if "reply_message" in case else []
    if "reply_packet_2" in case:
        replies.append(("ok", case["reply_packet_2"], case["reply_message_2"]))
    if kind == "ClientRejects":
        replies = [
            (snake(case["error"]), case["reply_packet"], ""),
            ("ok", case["then_true_reply"], case["true_message"]),
        ]
    fields = [
        case.get("server_public"),
        case.get("client_secret"),
        case.get("client_public"),
        psk,
        case.get("random"),
        case.get("ephemeral_secret"),
        case.get("request_message"),
        case.get("request_packet"),
        case.get("request_padded_to"),
        case.get("fresh"),
    ]
    words = [kind, suite, case["id"], len(replies)] + [word(f) for f in fields]
    for reply in replies:
        words += [word(part) for part in reply]
    if kind == "ServerKeyRejects":
        words.append(snake(case["error"]))
    return " ".join(str(w) for w in words)


def links():
    vectors = json.loads((ROOT / "crates/pssst-link/tests/vectors/links.json").read_text())

    def hexed(text):
        return word(text.encode().hex()) if text is not None else "-"

    for case in vectors["links"]:
        suites = ",".join(f"{suite:x}" for suite in case.get("suites", [])) or "-"
        words = [case.get(part) for part in ("server", "directory", "token")]
        keys = [word(case.get(part)) for part in ("key", "key_hash", "pin")]
        yield " ".join(["Link", hexed(case["link"]), *map(hexed, words), *keys, suites])
    for case in vectors["refused"]:
        yield " ".join(["Refused", hexed(case["link"]), "link_" + case["reason"]])


def array(text):
    data = bytes.fromhex(text or "")
    return "(const uint8_t *)\"" + "".join(f"\\x{byte:02x}" for byte in data) + f"\", {len(data)}"


def table(limit):
    """Transactions of up to `limit` bytes, of each kind."""
    chosen = {}
    for suite, kind, case in cases():
        if kind != "Transaction" or suite not in ("1", "f002"):
            continue
        if max(len(case["request_packet"]), len(case["reply_packet"])) > 2 * limit:
            continue
        features = (suite, "client_secret" in case, "psk" in case, "request_padded_to" in case, "fresh" in case)
        chosen.setdefault(features, []).append((suite, case))
    yield "/* Written by vectors.py. */"
    yield "static const struct vector VECTORS[] = {"
    for suite, case in (pair for pairs in chosen.values() for pair in pairs[:4]):
        parts = [case["server_public"], case.get("client_secret"), case.get("psk"), case.get("random"),
                 case["ephemeral_secret"], case["request_message"], case["request_packet"],
                 case["reply_packet"], case["reply_message"]]
        numbers = [f"0x{suite}", str(case.get("request_padded_to", 0)), str(int(case.get("fresh", False)))]
        yield "    {" + ", ".join(numbers + [array(part) for part in parts]) + "},"
    yield "};"


def corpus(folder):
    """Packets, links and documents behind a first byte that tells the fuzzer what to do."""
    replies, texts = folder / "corpus-fuzz_reply", folder / "corpus-fuzz_text"
    for place in (replies, texts):
        place.mkdir(parents=True, exist_ok=True)
    for suite, kind, case in cases():
        if kind == "Transaction" and len(case["reply_packet"]) < 600:
            for mode in (0x10, 0x50, 0x70, 0x74, 0x51):
                name = f"{suite}-{case['id']}-{mode:x}"
                (replies / name).write_bytes(bytes([mode]) + bytes.fromhex(case["reply_packet"]))
    vectors = json.loads((ROOT / "crates/pssst-link/tests/vectors/links.json").read_text())
    for number, case in enumerate(vectors["links"] + vectors["refused"]):
        link = case["link"].encode()
        (texts / f"{number}-whole").write_bytes(b"\0" + link)
        (texts / f"{number}-checked").write_bytes(b"\1" + link[8:].split(b"&check=")[0])
        key = link.partition(b"key=")[2].partition(b"&")[0]
        (texts / f"{number}-key").write_bytes(b"\0" + key)
    body = base64.encodebytes(bytes(96)).decode()
    for label in ("PSK", "PRECOMPUTED IDENTITY"):
        text = f"-----BEGIN PSSST {label}-----\n{body}-----END PSSST {label}-----\n"
        (texts / label.split()[0]).write_bytes(b"\0" + text.encode())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=int)
    parser.add_argument("--corpus", type=Path)
    arguments = parser.parse_args()
    if arguments.corpus:
        corpus(arguments.corpus)
        return
    if arguments.table:
        lines = table(arguments.table)
    else:
        lines = [line(kind, suite, case) for suite, kind, case in cases()] + list(links())
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
