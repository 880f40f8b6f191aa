"""The balancers' configurations, with real packets through those of nftables.

  check.py PSSST      where PSSST is our program. As root, on Linux: it makes network namespaces of its own, and takes them away.

Three servers, a client and nftables between them, each with a network of its own. All packets must be answered, by all servers, and nothing
may be tracked; then a server ends, another one's address is put in its place as the file says, and all packets must be answered again.
Needs ip, ping, nft, nginx with its stream module, and keepalived. Last line: `N passed, N failed`.
"""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
POOL = "192.0.2.100"
PREFIX = f"pssst-{os.getpid()}"
# Has the kernel track what passes.
WATCH = "add table inet watch; add chain inet watch seen { type filter hook prerouting priority 0; }; add rule inet watch seen ct state new counter"
STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"


def run(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, **more)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


class Network:
    """Namespaces by name, and cables between them."""

    def __init__(self, stack):
        self.stack = stack

    def host(self, name):
        run("ip", "netns", "add", f"{PREFIX}-{name}")
        self.stack.callback(run, "ip", "netns", "delete", f"{PREFIX}-{name}")
        self.inside(name, "ip", "link", "set", "lo", "up")
        return name

    def inside(self, name, *command, **more):
        return run("ip", "netns", "exec", f"{PREFIX}-{name}", *command, **more)

    def switch(self, name):
        self.host(name)
        self.inside(name, "ip", "link", "add", "bridge", "type", "bridge")
        self.inside(name, "ip", "link", "set", "bridge", "up")

    def cable(self, switch, name, interface, address, mac=None):
        """From a host's interface to a switch."""
        ends = ["ip", "link", "add", interface, *(["address", mac] if mac else []), "netns", f"{PREFIX}-{name}", "type", "veth"]
        run(*ends, "peer", "name", name, "netns", f"{PREFIX}-{switch}")
        self.inside(switch, "ip", "link", "set", name, "master", "bridge", "up")
        self.inside(name, "ip", "address", "add", address, "dev", interface)
        self.inside(name, "ip", "link", "set", interface, "up")


def direct(network):
    """All in one network."""
    network.switch("switch")
    network.host("client")
    network.cable("switch", "client", "eth0", "192.0.2.1/24")
    network.host("balancer")
    network.cable("switch", "balancer", "eth0", "192.0.2.2/24", mac="02:00:00:00:00:01")
    network.inside("balancer", "ip", "address", "add", f"{POOL}/32", "dev", "eth0")
    for number in (1, 2, 3):
        server = network.host(f"server{number}")
        network.cable("switch", server, "eth0", f"192.0.2.1{number}/24", mac=f"02:00:00:00:00:1{number}")
        network.inside(server, "ip", "address", "add", f"{POOL}/32", "dev", "lo")
        network.inside(server, "sysctl", "net.ipv4.conf.all.arp_ignore=1", "net.ipv4.conf.all.arp_announce=2")


def routed(network):
    """The balancer is the router between the client and the servers."""
    network.switch("balancer")
    network.inside("balancer", "sysctl", "net.ipv4.ip_forward=1")
    network.inside("balancer", "ip", "address", "add", "198.51.100.1/24", "dev", "bridge")
    network.host("client")
    network.switch("street")
    network.cable("street", "client", "eth0", "203.0.113.2/24")
    network.cable("street", "balancer", "front", "203.0.113.1/24")
    network.inside("client", "ip", "route", "add", "default", "via", "203.0.113.1")
    for number in (1, 2, 3):
        server = network.host(f"server{number}")
        network.cable("balancer", server, "eth0", f"198.51.100.1{number}/24")
        network.inside(server, "ip", "route", "add", "default", "via", "198.51.100.1")


class Server:
    def __init__(self, ours, name, folder):
        command = ["ip", "netns", "exec", f"{PREFIX}-{name}", ours, "serve", "--listen", "0.0.0.0:45678", "--workers", "1"]
        command += ["--secret-key", str(folder / "server.key")]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.process.stdout.readline()

    def stop(self):
        """Requests that it answered."""
        self.process.send_signal(signal.SIGTERM)
        said = self.process.communicate(timeout=30)[1]
        return int(re.search(r"replied\D*(\d+)", said)[1])


def load(network, ours, key):
    report = network.inside(
        "client", ours, "bench", "--server", f"{POOL}:45678", "--server-key", key, "--duration", "2", "--concurrency", "32", "--sockets", "4", "--json"
    )
    report = json.loads(report)
    assert report["lost"] == 0 and report["replies"] > 1000, report
    return report["replies"]


def balanced(ours, rules, lay_out, gateway, replace):
    with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        key = run(ours, "keygen", "--out", str(folder / "server.key")).strip()
        network = Network(stack)
        lay_out(network)
        network.inside("balancer", "nft", "-f", str(HERE / rules))
        # Where no rule asks for it, nothing is tracked anyway.
        network.inside("balancer", "nft", WATCH)
        tracked = lambda: re.findall(r"^ipv4 +2 (\w+)", network.inside("balancer", "cat", "/proc/net/nf_conntrack"), re.M)
        network.inside("client", "ping", "-c", "1", "-W", "2", gateway)
        assert "icmp" in tracked(), "this check has gone blind: not even a ping is tracked"
        servers = [Server(ours, f"server{number}", folder) for number in (1, 2, 3)]
        for server in servers:
            stack.callback(server.process.kill)

        replies = load(network, ours, key)
        assert "udp" not in tracked(), tracked()

        second = servers[1].stop()
        network.inside("balancer", "nft", replace)
        more = load(network, ours, key)

        first, third = servers[0].stop(), servers[2].stop()
        # A third of the first load each, and then two thirds and one third of the second. The
        # loads' warming up is in the servers' counts only.
        scale = (first + second + third) / (replies + more)
        for answered, expected in ((first, replies / 3 + more * 2 / 3), (second, replies / 3), (third, replies / 3 + more / 3)):
            assert abs(answered / (expected * scale) - 1) < 0.1, (first, second, third, replies, more)
        return f"{replies} and {more} replies, of servers 1 to 3: {first}, {second}, {third}"


def nginx():
    with tempfile.TemporaryDirectory() as name:
        config = pathlib.Path(name) / "nginx.conf"
        config.write_text(f"load_module {STREAM_MODULE};\npid {name}/nginx.pid;\nevents {{}}\ninclude {HERE}/nginx-stream.conf;\n")
        run("/usr/sbin/nginx", "-t", "-q", "-p", name, "-c", str(config))
    return "nginx -t"


def keepalived():
    run("/usr/sbin/keepalived", "--config-test", "-f", str(HERE / "keepalived.conf"))
    return "keepalived --config-test"


def main():
    ours = str(pathlib.Path(sys.argv[1]).resolve())
    checks = {
        "nginx": nginx,
        "keepalived, IPVS": keepalived,
        "nftables, direct": lambda: balanced(
            ours, "nftables-direct.nft", direct, "192.0.2.2",
            "delete element netdev pssst servers { 1 }; add element netdev pssst servers { 1 : 02:00:00:00:00:11 }",
        ),
        "nftables, routed": lambda: balanced(
            ours, "nftables-routed.nft", routed, "203.0.113.1",
            "delete element ip pssst servers { 1 }; add element ip pssst servers { 1 : 198.51.100.11 }",
        ),
    }
    failed = 0
    for name, check in checks.items():
        try:
            print(f"ok   {name}: {check()}", flush=True)
        except Exception as error:
            failed += 1
            print(f"FAIL {name}: {error}", flush=True)
    print(f"{len(checks) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
