"""The Python peer, `pssst` 0.2.1 from PyPI, as the other end: pairing partner, echo server, or client.

  peer.py compat                            talks the pairing convention on standard input and output
  peer.py serve SECRET_HEX [--quiet]        answers requests on a free port of loopback, which it prints first
  peer.py request PORT SERVER_HEX [SECRET_HEX]
                                            sends what it reads on standard input, prints the reply
  peer.py bench                             times its server's open + seal of 32 bytes, for docs/benchmarks.md
"""

import os
import socket
import statistics
import sys
import time

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pssst import PSSSTClient, PSSSTException, PSSSTServer, generate_key_pair

PATIENCE_SECONDS = 5
MAX_DATAGRAM = 65_535


def raw(public_key):
    return public_key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def compat():
    server_secret, server_key = generate_key_pair()
    client_secret, client_key = generate_key_pair()
    plaintext = os.urandom(64)
    server = PSSSTServer(server_secret)
    peer = {}
    open_reply = {}
    replies = set()

    def emit(tag, value=b""):
        print(f"{tag}:{value.hex()}", flush=True)

    def check(condition, what):
        if not condition:
            sys.exit(f"mismatch: {what}")

    emit("SERVER_KEY", raw(server_key))
    emit("CLIENT_KEY", raw(client_key))
    emit("PLAINTEXT", plaintext)
    for line in sys.stdin:
        tag, _, digits = line.strip().partition(":")
        value = bytes.fromhex(digits)
        if tag == "DONE":
            return
        if tag in ("CLIENT_KEY", "PLAINTEXT"):
            peer[tag] = value
        elif tag == "SERVER_KEY":
            for suffix, identity in (("", None), ("_AUTH", client_secret)):
                packet, open_reply["REPLY" + suffix] = PSSSTClient(value, identity).pack_request(plaintext)
                emit("REQUEST" + suffix, packet)
        elif tag in ("REQUEST", "REQUEST_AUTH"):
            message, proven_key, seal_reply = server.unpack_request(value)
            check(message == peer["PLAINTEXT"], f"message of {tag}")
            expected = peer["CLIENT_KEY"] if tag == "REQUEST_AUTH" else None
            check((proven_key and raw(proven_key)) == expected, f"client key of {tag}")
            emit(tag.replace("REQUEST", "REPLY"), seal_reply(message[::-1]))
        elif tag in ("REPLY", "REPLY_AUTH"):
            check(open_reply[tag](value) == plaintext[::-1], f"message of {tag}")
            replies.add(tag)
            if len(replies) == 2:
                emit("DONE")
        else:
            sys.exit(f"unknown line {tag}")
    check(len(replies) == 2, "the other program ended before it sent both replies")


def serve(secret_hex, quiet=None):
    def tell(line):
        if not quiet:
            print(line, flush=True)

    server = PSSSTServer(secret_hex)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        print(sock.getsockname()[1], flush=True)
        while True:
            packet, address = sock.recvfrom(MAX_DATAGRAM)
            try:
                message, client_key, seal_reply = server.unpack_request(packet)
            except PSSSTException as refused:
                tell(f"refused {type(refused).__name__}")
                continue
            tell(f"client {raw(client_key).hex() if client_key else 'anonymous'}")
            sock.sendto(seal_reply(message), address)


def request(port, server_hex, secret_hex=None):
    packet, open_reply = PSSSTClient(server_hex, secret_hex).pack_request(sys.stdin.buffer.read())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE_SECONDS)
        sock.sendto(packet, ("127.0.0.1", int(port)))
        sys.stdout.buffer.write(open_reply(sock.recv(MAX_DATAGRAM)))


def bench():
    server_secret, server_key = generate_key_pair()
    server = PSSSTServer(server_secret)
    for name, identity in (("anonymous", None), ("authenticated", generate_key_pair()[0])):
        packet, _ = PSSSTClient(server_key, identity).pack_request(bytes(32))
        rounds = []
        for _ in range(101):
            start = time.perf_counter()
            for _ in range(50):
                message, _, seal_reply = server.unpack_request(packet)
                seal_reply(message)
            rounds.append((time.perf_counter() - start) / 50 * 1e6)
        print(f"open + seal of 32 bytes, {name}: {statistics.median(rounds):.1f} us")


if __name__ == "__main__":
    {"bench": bench, "compat": compat, "serve": serve, "request": request}[sys.argv[1]](*sys.argv[2:])
