#!/usr/bin/env python3
"""A device whose IP address changes while it waits, in a network namespace that this script makes.

    moved.py SENSOR SERVER_KEY

The server never answers. It takes two packets, then lets the next ones leave from another address.
"""

import hashlib
import os
import socket
import subprocess
import sys

SERVER, BEFORE, AFTER = "10.9.0.1", "10.1.0.1", "10.1.0.2"


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


def leave_from(address):
    """Lets packets to the server leave from this address."""
    ip("route", "replace", "local", SERVER, "dev", "lo", "table", "local", "src", address)


def main(sensor, key):
    ip("link", "set", "lo", "up")
    for address in (SERVER, BEFORE, AFTER):
        ip("addr", "add", f"{address}/32", "dev", "lo")
    leave_from(BEFORE)
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((SERVER, 0))
    server.settimeout(20)
    link = f"pssst://{SERVER}:{server.getsockname()[1]}/?key={key}"
    link += f"&check={hashlib.sha256(link.encode()).hexdigest()[:8]}"
    device = subprocess.Popen([sensor, "-r", "200", "-t", "7000", link, "one"], stderr=subprocess.PIPE, text=True)
    packets = []
    for number in range(5):
        if number == 2:
            leave_from(AFTER)
        packet, (source, port) = server.recvfrom(2048)
        packets.append((packet, source, port))
    _, said = device.communicate(timeout=30)
    (first, again, third, fourth, last) = packets
    assert device.returncode == 3, said
    assert first == again and first[1] == BEFORE, "the same bytes from the same address and port"
    assert third == fourth == last and third[1] == AFTER, "then others, from the new address"
    assert third[0] != first[0], "sealed anew"
    print("2 packets from the old address, and 3 of another request from the new one")


if __name__ == "__main__":
    if os.environ.get("PSSST_NAMESPACE") != "made":
        os.environ["PSSST_NAMESPACE"] = "made"
        how = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]
        os.execvp(how[0], [*how, sys.executable, *sys.argv])
    main(*sys.argv[1:3])
