"""Real programs that know nothing of PSSST, through `pssst proxy` and `pssst gateway`, unchanged.

  clients.py PSSST      where PSSST is our program; needs dig, dnsmasq, coap-client, coap-server, snmpget, snmpwalk, snmpd

Every program sends to a proxy on loopback; the proxy carries its datagrams to a gateway, and the gateway asks the real server. Prints a
line for each check, and last `N passed, N failed`. Fails if one fails.
"""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from checks import check, expect, run_checks

PATIENCE_SECONDS = 20
OVERHEAD = 52


def program(*names):
    """The first of these programs that is here."""
    for name in names:
        found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
        if found:
            return found
    raise SystemExit(f"none of {', '.join(names)} is installed")


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, **options)
    return done.returncode, done.stdout, done.stderr


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(command, **options):
    """A process that is stopped at the end."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


class Chain:
    """A gateway before a UDP service, and a proxy before the gateway."""

    def __init__(self, folder, upstream, gateway=(), proxy=()):
        self.folder, self.upstream, self.more = folder, upstream, (gateway, proxy)
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        gateway, proxy = self.more
        secret, key = (str(self.folder / name) for name in ("server.key", "server.pub"))
        command = [OURS, "gateway", "--listen", "127.0.0.1:0", "--secret-key", secret, "--workers", "1"]
        if "--anonymous" not in gateway:
            command += ["--anonymous", "allow"]
        self.gateway = self.start([*command, "--upstream", f"udp://127.0.0.1:{self.upstream}", *gateway])
        address = self.listening(self.gateway)
        command = [OURS, "proxy", "--listen", "127.0.0.1:0", "--server", address, "--server-key", key]
        self.proxy = self.start([*command, *proxy])
        self.port = int(self.listening(self.proxy).rsplit(":", 1)[-1])
        return self

    def start(self, command):
        return self.stack.enter_context(running(command))

    @staticmethod
    def listening(process):
        said = []
        for line in process.stdout:
            if line.startswith("listening on "):
                return line.strip().removeprefix("listening on ")
            said.append(line)
        raise AssertionError("".join(said))

    def summaries(self):
        """Stops both, and returns what they say of themselves."""
        said = []
        for process in (self.proxy, self.gateway):
            process.send_signal(signal.SIGTERM)
            said.append(process.communicate(timeout=PATIENCE_SECONDS)[0])
        return said

    def __exit__(self, *_):
        self.stack.close()


# --- DNS

TEXTS = [1, 60, 100, 150, 200, 220, 250, 400, 800, 1000, 1150]


@contextlib.contextmanager
def dns(port=None):
    port = port or free_port()
    command = [program("dnsmasq"), "--no-daemon", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", f"--port={port}"]
    command += ["--listen-address=127.0.0.1", "--bind-interfaces", "--edns-packet-max=1232", "--user=root", "--pid-file="]
    command += ["--host-record=boiler.example,192.0.2.7,2001:db8::7", "--mx-host=example,mail.example,10", "--local=/example/"]
    for size in TEXTS:
        parts = ["x" * min(255, size - start) for start in range(0, size, 255)]
        command.append(f"--txt-record=t{size}.example,{','.join(parts)}")
    with running(command):
        wait_for(lambda: dig(port, "boiler.example", "A")[0] == ["192.0.2.7"], "dnsmasq")
        yield port


def wait_for(is_so, what):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} does not come up")
        time.sleep(0.05)


def dig(port, name, kind, *options):
    """The answers, and the size of the message that brought them: none, and 0, if none came."""
    command = [program("dig"), "@127.0.0.1", "-p", str(port), name, kind, "+nocookie", "+tries=1", "+time=1", "+ignore"]
    _, output, _ = run([*command, *options])
    answers = [line.split(None, 4)[4] for line in output.splitlines() if line and line[0] not in ";" and "\tIN\t" in line]
    size = re.search(r"MSG SIZE  rcvd: (\d+)", output)
    return answers, int(size[1]) if size else 0


def text(answers):
    return "".join("".join(re.findall(r'"([^"]*)"', answer)) for answer in answers)


@check("dig: addresses, names that are not there, and other records")
def dig_lookups(folder):
    with dns() as server, Chain(folder, server) as chain:
        for kind, wanted in (("A", ["192.0.2.7"]), ("AAAA", ["2001:db8::7"])):
            expect(dig(chain.port, "boiler.example", kind)[0], wanted, kind)
        expect(dig(chain.port, "example", "MX")[0], ["10 mail.example."], "MX")
        _, output, _ = run([program("dig"), "@127.0.0.1", "-p", str(chain.port), "nobody.example", "A", "+tries=1"])
        expect("status: NXDOMAIN" in output, True, "a name that is not there")
        proxy, gateway = chain.summaries()
        expect("received 4, replied 4" in proxy, True, proxy)
        expect("answered 4" in gateway, True, gateway)


@check("dig: answers around the limit of amplification")
def dig_sizes(folder):
    with dns() as server, Chain(folder, server) as chain:
        seen = set()
        for size in TEXTS:
            name = f"t{size}.example"
            direct, answer_len = dig(server, name, "TXT", "+bufsize=1232")
            expect(len(text(direct)), size, f"{name}, asked directly")
            # Header, question, and the record of EDNS.
            query_len = 12 + len(name) + 2 + 4 + 11
            fits = answer_len + OVERHEAD <= 3 * (query_len + OVERHEAD)
            answers, _ = dig(chain.port, name, "TXT", "+bufsize=1232")
            expect(text(answers) == text(direct), fits, f"{name}: {answer_len} bytes for {query_len}")
            seen.add(fits)
        expect(seen, {True, False}, "both sides of the limit")
        _, gateway = chain.summaries()
        expect("reply_too_large" in gateway, True, gateway)
        print(f"  {gateway.strip().splitlines()[-1]}")


@check("dig: long answers for clients that prove who they are")
def dig_authenticated(folder):
    more = ("--max-authenticated-amplification", "0", "--anonymous", "refuse")
    with dns() as server, Chain(folder, server, more, ("--identity", str(folder / "client.key"))) as chain:
        for size in TEXTS:
            answers, _ = dig(chain.port, f"t{size}.example", "TXT", "+bufsize=1232")
            expect(len(text(answers)), size, f"t{size}")
    with dns() as server, Chain(folder, server, more) as chain:
        expect(dig(chain.port, "boiler.example", "A")[0], [], "an anonymous client")


@check("dig: a DNS server that is away costs an answer, and comes back")
def dig_outage(folder):
    port = free_port()
    with Chain(folder, port) as chain:
        for _ in range(3):
            expect(dig(chain.port, "boiler.example", "A")[0], [], "nobody is there")
        with dns(port):
            wait_for(lambda: dig(chain.port, "boiler.example", "A")[0] == ["192.0.2.7"], "an answer through the same chain")


# --- CoAP

@contextlib.contextmanager
def coap():
    port = free_port()
    with running([program("coap-server-notls", "coap-server"), "-A", "127.0.0.1", "-p", str(port)]):
        wait_for(lambda: "This is a test server" in coap_client(port, "get", "")[1], "the CoAP server")
        yield port


def coap_client(port, method, path, *options):
    command = [program("coap-client-notls", "coap-client"), "-m", method, "-B", "2", *options]
    return run([*command, f"coap://127.0.0.1:{port}/{path}"])


@check("CoAP: get, put, and what is not there")
def coap_requests(folder):
    with coap() as server, Chain(folder, server) as chain:
        coap_client(chain.port, "put", "example_data", "-e", "21.5 degrees")
        _, output, _ = coap_client(chain.port, "get", "example_data")
        expect(output.strip(), "21.5 degrees", "what was put")
        _, output, errors = coap_client(chain.port, "get", "nothing")
        expect("4.04" in output + errors, True, f"{output} {errors}")


# Every request is a datagram by itself, at whatever gateway of a pool. A transfer in blocks, which
# the server ties together by the client's address, is more than that, so these have one block.
@check("CoAP: sizes up to a block, and around the limit of amplification")
def coap_sizes(folder):
    sizes = (1, 13, 64, 100, 500, 1000, 1023, 1024)
    for more, largest in (((), 100), (("--max-amplification", "0"), 1024)):
        with coap() as server, Chain(folder, server, more) as chain:
            for size in sizes:
                contents = "".join(chr(97 + place % 26) for place in range(size))
                file = folder / "contents"
                file.write_text(contents)
                coap_client(chain.port, "put", "example_data", "-f", str(file))
                _, output, _ = coap_client(server, "get", "example_data")
                expect(output.strip(), contents, f"{size} bytes that were put")
                _, output, _ = coap_client(chain.port, "get", "example_data")
                expect(output.strip(), contents if size <= largest else "", f"{size} bytes, with {more}")
            _, gateway = chain.summaries()
            expect("reply_too_large" in gateway, largest < 1024, gateway)
            print(f"  {gateway.strip().splitlines()[-1]}")


# --- SNMP

@contextlib.contextmanager
def snmp(folder):
    port = free_port()
    configuration = folder / "snmpd.conf"
    configuration.write_text(
        "rocommunity public 127.0.0.1\nsysName boiler-7\nsysLocation basement\n" f"agentAddress udp:127.0.0.1:{port}\n"
    )
    environment = {**os.environ, "SNMP_PERSISTENT_DIR": str(folder), "MIBS": ""}
    command = [program("snmpd"), "-f", "-Lo", "-C", "-c", str(configuration), "-I", "-systemstats_linux"]
    with running(command, env=environment):
        wait_for(lambda: "boiler-7" in snmp_ask(port, "snmpget", NAME), "snmpd")
        yield port


SYSTEM, NAME = "1.3.6.1.2.1.1", "1.3.6.1.2.1.1.5.0"


def snmp_ask(port, tool, what):
    command = [program(tool), "-v2c", "-c", "public", "-On", "-r", "0", "-t", "3", "-m", "", f"127.0.0.1:{port}", what]
    code, output, errors = run(command, env={**os.environ, "MIBS": ""})
    return output if code == 0 else errors


@check("SNMP: snmpget, and a walk through the system group")
def snmp_requests(folder):
    with snmp(folder) as server, Chain(folder, server, ("--max-amplification", "20")) as chain:
        expect('STRING: "boiler-7"' in snmp_ask(chain.port, "snmpget", NAME), True, "the name")
        walked = snmp_ask(chain.port, "snmpwalk", SYSTEM)
        # Times pass meanwhile.
        steady = lambda output: [line for line in output.splitlines() if "Timeticks" not in line]
        expect(steady(walked), steady(snmp_ask(server, "snmpwalk", SYSTEM)), "the walk")
        expect("basement" in walked, True, walked)
        proxy, _ = chain.summaries()
        print(f"  {proxy.strip().splitlines()[-1]}")


# --- statsd, one way

@check("statsd: counters that nobody answers")
def statsd_counters(folder):
    import statsd

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind(("127.0.0.1", 0))
        sink.settimeout(PATIENCE_SECONDS)
        port = sink.getsockname()[1]
        with Chain(folder, port, ("--one-way",), ("--one-way",)) as chain:
            client = statsd.StatsClient("127.0.0.1", chain.port)
            for number in range(200):
                client.incr(f"boiler.{number}", number)
                time.sleep(0.001)
            seen = sorted(sink.recv(2048).decode() for _ in range(200))
            expect(seen, sorted(f"boiler.{number}:{number}|c" for number in range(200)), "counters")
            proxy, gateway = chain.summaries()
            expect("replied 0" in proxy and "delivered 200" in gateway, True, proxy + gateway)


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for key in ("server", "client"):
            code, public, errors = run([OURS, "keygen", "--out", str(folder / f"{key}.key")])
            expect(code, 0, errors)
            (folder / f"{key}.pub").write_text(public)
        return run_checks(lambda: contextlib.nullcontext(folder))


if __name__ == "__main__":
    OURS = sys.argv[1]
    sys.exit(main())
