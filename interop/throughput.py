"""Echo servers over UDP side by side: ours and the Python peer's, each on one core, the same load from another core.

  throughput.py PSSST [SECONDS [ROUNDS]]     where PSSST is our program; run with the Python that has interop/requirements.txt

Servers take turns, round after round; the table has medians. Last line: `ratio anonymous R, authenticated R`, the medians of
the rounds' ratios. For docs/benchmarks.md; times are asserted nowhere.
"""

import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

PEER = [sys.executable, "-W", "ignore", str(pathlib.Path(__file__).with_name("peer.py"))]
CONCURRENCY = 64
SIZE = 32


def pinned(core, command):
    """The command on one core, where there are cores to choose from."""
    if shutil.which("taskset") and (os.cpu_count() or 1) > 1:
        return ["taskset", "-c", str(core), *command]
    return command


def measure(command, ours, server_key, load):
    """Replies a second of one server under load."""
    with subprocess.Popen(pinned(0, command), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            first = server.stdout.readline().strip()
            address = f"127.0.0.1:{first.rsplit(':', 1)[-1]}"
            bench = [ours, "bench", "--suite", "1", "--server", address, "--server-key", server_key, "--json",
                     "--concurrency", str(CONCURRENCY), "--size", str(SIZE), *load]
            done = subprocess.run(pinned(1, bench), capture_output=True, text=True, check=True)
            return json.loads(done.stdout)
        finally:
            server.terminate()


def main():
    ours = sys.argv[1]
    seconds = sys.argv[2] if len(sys.argv) > 2 else "2"
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    with tempfile.TemporaryDirectory() as folder:
        secret, identity = (os.path.join(folder, name) for name in ("server.key", "client.key"))
        keygen = [ours, "keygen", "--format", "hex", "--out"]
        server_key = subprocess.run([*keygen, secret], capture_output=True, text=True, check=True).stdout.strip()
        subprocess.run([*keygen, identity], capture_output=True, check=True)
        servers = {
            "ours": [ours, "serve", "--workers", "1", "--listen", "127.0.0.1:0", "--secret-key", secret],
            "Python 0.2.1": [*PEER, "serve", pathlib.Path(secret).read_text().strip(), "--quiet"],
        }
        kinds = {"anonymous": [], "authenticated": ["--identity", identity]}
        results = {(kind, name): [] for kind in kinds for name in servers}
        for _ in range(rounds):
            for kind, options in kinds.items():
                for name, command in servers.items():
                    load = ["--duration", seconds, *options]
                    results[kind, name].append(measure(command, ours, server_key, load))

    print(f"{SIZE} B, {CONCURRENCY} in flight, {rounds} rounds of {seconds} s: transactions/s, p50 and p99 in us, lost")
    ratios = []
    for kind in kinds:
        for name in servers:
            runs = results[kind, name]
            rate, p50, p99 = (
                statistics.median(values)
                for values in (
                    [run["replies_per_second"] for run in runs],
                    [run["latency_us"]["p50"] for run in runs],
                    [run["latency_us"]["p99"] for run in runs],
                )
            )
            lost = sum(run["lost"] for run in runs)
            print(f"{kind:14} {name:14} {rate:9.0f} {p50:8.0f} {p99:8.0f} {lost:6}")
        pairs = zip(results[kind, "ours"], results[kind, "Python 0.2.1"])
        ratio = statistics.median(a["replies_per_second"] / b["replies_per_second"] for a, b in pairs)
        ratios.append(f"{kind} {ratio:.1f}")
    print("ratio " + ", ".join(ratios))


main()
