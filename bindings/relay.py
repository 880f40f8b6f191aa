#!/usr/bin/env python3
"""Relays UDP datagrams between clients and one server, and loses, repeats and reorders them.

The same seed gives the same decisions for the same order of datagrams. It prints its own address
when it listens. At SIGTERM it prints counts as JSON and ends. `--forge` sends the client a changed
copy of each reply before the reply itself.
"""

import argparse
import heapq
import ipaddress
import json
import random
import selectors
import signal
import socket
import sys
import time


def address(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("server", type=address, help="HOST:PORT of the server")
    parser.add_argument("--listen", type=address, default=("127.0.0.1", 0), help="HOST:PORT to listen at")
    parser.add_argument("--loss", type=float, default=0.0, help="share of datagrams that are lost")
    parser.add_argument("--duplicate", type=float, default=0.0, help="share of datagrams that are sent twice")
    parser.add_argument("--reorder", type=float, default=0.0, help="share of datagrams that are late")
    parser.add_argument("--late", type=float, default=0.05, help="seconds that these are late")
    parser.add_argument("--forge", action="store_true", help="send a forged copy before each reply")
    parser.add_argument("--seed", type=int, default=1, help="of the decisions")
    return parser.parse_args()


class Relay:
    def __init__(self, options):
        self.options = options
        self.random = random.Random(options.seed)
        self.selector = selectors.DefaultSelector()
        self.upstreams = {}
        self.late = []
        self.order = 0
        self.counts = dict.fromkeys(("requests", "replies", "lost", "duplicated", "reordered", "forged"), 0)
        # Requests that came again, and those that came from another address than the first time:
        # they link the two addresses.
        self.sources = {}
        self.counts |= {"repeated": 0, "moved": 0}
        family = socket.AF_INET6 if ipaddress.ip_address(options.listen[0]).version == 6 else socket.AF_INET
        self.listener = socket.socket(family, socket.SOCK_DGRAM)
        self.listener.bind(options.listen)
        self.selector.register(self.listener, selectors.EVENT_READ)

    def upstream(self, client):
        """One socket for each client, so that replies find their way back."""
        if client not in self.upstreams:
            upstream = socket.socket(self.listener.family, socket.SOCK_DGRAM)
            upstream.connect(self.options.server)
            self.selector.register(upstream, selectors.EVENT_READ, client)
            self.upstreams[client] = upstream
        return self.upstreams[client]

    def pass_on(self, send, datagram):
        options, chance = self.options, self.random.random
        copies = 2 if chance() < options.duplicate else 1
        self.counts["duplicated"] += copies - 1
        for _ in range(copies):
            lost, late = chance() < options.loss, chance() < options.reorder
            if lost:
                self.counts["lost"] += 1
            elif late:
                self.counts["reordered"] += 1
                self.order += 1
                heapq.heappush(self.late, (time.monotonic() + options.late, self.order, send, datagram))
            else:
                self.deliver(send, datagram)

    @staticmethod
    def deliver(send, datagram):
        try:
            send(datagram)
        except OSError:
            pass  # The other end is away: a lost datagram.

    def receive(self, key):
        try:
            datagram, sender = key.fileobj.recvfrom(65535)
        except OSError:
            return  # ICMP said that the server is away.
        if key.data is None:
            self.counts["requests"] += 1
            self.counts["repeated"] += datagram in self.sources
            self.counts["moved"] += self.sources.setdefault(datagram, sender[0]) != sender[0]
            self.pass_on(self.upstream(sender).send, datagram)
            return
        self.counts["replies"] += 1
        client = key.data
        send = lambda reply: self.listener.sendto(reply, client)  # noqa: E731
        if self.options.forge and datagram:
            self.counts["forged"] += 1
            self.deliver(send, datagram[:-1] + bytes([datagram[-1] ^ 1]))
        self.pass_on(send, datagram)

    def run(self):
        host, port = self.listener.getsockname()[:2]
        print(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", flush=True)
        while True:
            wait = max(0.0, self.late[0][0] - time.monotonic()) if self.late else None
            for key, _ in self.selector.select(wait):
                self.receive(key)
            while self.late and self.late[0][0] <= time.monotonic():
                _, _, send, datagram = heapq.heappop(self.late)
                self.deliver(send, datagram)


def main():
    relay = Relay(arguments())

    def end(*_):
        print(json.dumps(relay.counts), flush=True)
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    relay.run()


if __name__ == "__main__":
    main()
