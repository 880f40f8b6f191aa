#!/usr/bin/env python3
"""The sensor against a real `pssst serve`, through a relay that loses, repeats and reorders.

    interop.py PSSST SENSOR
"""

import hashlib
import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

PSSST, SENSOR = (Path(arg).resolve() for arg in sys.argv[1:3])
CLIENT = Path(__file__).resolve().parents[1]
RELAY = Path(__file__).resolve().parents[2] / "relay.py"
READINGS = [f"reading {number}" for number in range(12)]
passed = failed = 0


def check(holds, what):
    global passed, failed
    passed, failed = passed + bool(holds), failed + (not holds)
    print(f"{'ok     ' if holds else 'FAILED '} {what}", flush=True)


def run(*command):
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout.strip()


class Process:
    """A process whose first line says where it listens."""

    def __init__(self, *command):
        self.process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().strip().removeprefix("listening on ")

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        output, _ = self.process.communicate(timeout=20)
        return output


def sensor(link, *options, readings=READINGS):
    command = [SENSOR, *options, "-r", "100", link, *readings]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120)


def link_to(server_key, address, suites=None):
    text = f"pssst://{address}/?key={server_key}" + (f"&suites={suites}" if suites else "")
    return f"{text}&check={hashlib.sha256(text.encode()).hexdigest()[:8]}"


def check_device(folder, link):
    """Builds and runs the firmware's common part with a real link and identity."""

    def text(name, value):
        lines = "".join(f' \\\n    "{line}\\n"' for line in value.strip().split("\n"))
        return f"#define {name}{lines}\n"

    config = f'#define DEVICE_LINK "{link}"\n' + text("DEVICE_IDENTITY", (folder / "boiler.identity").read_text())
    (folder / "device_config.h").write_text(config)
    sources = ["pssst_client.c", "pssst_text.c", "pssst_request.c", "pssst_udp.c", "port/pssst_psa.c"]
    sources += ["examples/device/device.c", "examples/device/main.c"]
    flags = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror", "-O2"]
    flags += ["-I.", "-Iport", "-Iexamples/device", f"-I{folder}", "-o", folder / "device"]
    command = ["gcc", *flags, *sources, "-lmbedcrypto"]
    subprocess.run([str(part) for part in command], check=True, cwd=CLIENT)
    outcome = subprocess.run([folder / "device"], capture_output=True, text=True, timeout=60)
    check(outcome.returncode == 0 and outcome.stdout == "23.5 C\n23.6 C\n", "the firmware of Zephyr and ESP-IDF, over PSA")


def main(folder):
    key = run(PSSST, "keygen", "--out", folder / "server.key")
    boiler = run(PSSST, "keygen", "--out", folder / "boiler.key")
    pump = run(PSSST, "keygen", "--out", folder / "pump.key")
    run(PSSST, "keygen", "--out", folder / "stranger.key")
    run(PSSST, "keygen", "--psk-master", "--out", folder / "master.pem")
    store = f"file:{folder / 'clients'}"
    (folder / "clients").touch(mode=0o600)
    run(PSSST, "clients", "add", "--store", store, "boiler", boiler)
    run(PSSST, "clients", "add", "--store", store, "pump", pump)
    run(PSSST, "clients", "psk", "--store", store, "--psk-master", folder / "master.pem", "--out", folder / "pump.psk", "pump")
    run(PSSST, "precompute", "--client", pump, "--secret-key", folder / "server.key", "--out", folder / "pump.identity")
    run(PSSST, "precompute", "--client", boiler, "--secret-key", folder / "server.key", "--out", folder / "boiler.identity")
    server = Process(PSSST, "serve", "--listen", "127.0.0.1:0", "--secret-key", folder / "server.key", "--clients", store,
                     "--psk-master", folder / "master.pem", "--anonymous", "allow", "--log-level", "error")  # fmt: skip
    lossy = Process(RELAY, server.address, "--loss", "0.2", "--duplicate", "0.2", "--reorder", "0.2", "--forge", "--seed", "7")
    lost = Process(RELAY, server.address, "--loss", "1")
    pump_options = ["-i", folder / "pump.identity", "-q", folder / "pump.psk"]
    ways = [
        ("anonymous", None, []),
        ("anonymous, fresh replies, padding", None, ["-f", "-p", "300"]),
        ("suite 1, anonymous", "1", []),
        ("suite 1, with a secret key", "1", ["-i", folder / "boiler.key"]),
        ("suite 1, with a precomputed identity", "1", ["-i", folder / "boiler.identity"]),
        ("a secret key", None, ["-i", folder / "boiler.key"]),
        ("a precomputed identity", "f002,1", ["-i", folder / "boiler.identity"]),
        ("a precomputed identity and a pre-shared key", None, pump_options),
        ("all of it", "f002", [*pump_options, "-f", "-p", "400"]),
    ]
    try:
        for name, suites, options in ways:
            for relay, address in (("straight", server.address), ("lossy", lossy.address)):
                outcome = sensor(link_to(key, address, suites), *options)
                check(outcome.returncode == 0 and outcome.stdout.split("\n")[:-1] == READINGS, f"{name}, {relay} {outcome.stderr}")
        check_device(folder, link_to(key, lossy.address))
        outcome = sensor(link_to(key, lost.address), "-t", "700", readings=["one"])
        check(outcome.returncode == 3 and "no_reply" in outcome.stderr, "no reply is an error of its own")
        outcome = sensor(link_to(key, server.address), "-t", "500", "-i", folder / "stranger.key", readings=["one"])
        check(outcome.returncode == 3, "a client that is not enrolled gets no reply")
        outcome = sensor(link_to(key, server.address), "-t", "500", "-i", folder / "pump.key", readings=["one"])
        check(outcome.returncode == 3, "nor one that must use its pre-shared key")
        outcome = sensor(link_to(boiler, server.address), "-t", "500", "-i", folder / "boiler.identity", readings=["one"])
        check(outcome.returncode == 1 and "unknown_server_key" in outcome.stderr, "no Z2 for another server key")
    finally:
        counts = json.loads(lossy.end())
        nothing = json.loads(lost.end())
        server.end()
    print(counts)
    check(all(counts[name] > 0 for name in ("lost", "duplicated", "reordered", "forged", "repeated")), "the relay did all of it")
    check(counts["moved"] == 0 and nothing["replies"] == 0, "and the client kept to its address")
    check(server.process.returncode == 0, "the server ended well")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        main(Path(name))
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)
