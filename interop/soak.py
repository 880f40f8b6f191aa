"""A long load in short: so many transactions through `pssst serve`, after which it is no larger than before.

  soak.py PSSST [TRANSACTIONS]      where PSSST is our program; ten million transactions unless told otherwise

`pssst bench` sends, anonymous and authenticated requests half and half, and junk besides. Memory, threads and open files of the server are read
every second from /proc. After a tenth of the load, in which buffers and pools reach their size, they must not grow. Every packet must
be accounted for. Last line: `N passed, N failed`.
"""

import json
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

# Memory that an allocator may keep or return in between.
TOLERANCE_BYTES = 2 << 20
# At the least that a machine worth measuring does; the load ends by itself.
MAX_SECONDS = 900


def run(command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def sample(pid):
    """Resident bytes, threads and open files."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    number = lambda name: int(re.search(rf"^{name}:\s+(\d+)", status, re.M)[1])
    return number("VmRSS") * 1024, number("Threads"), len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir()))


def watch(pid, samples, done):
    while not done.wait(1):
        samples.append(sample(pid))


def load(ours, folder, address, key, transactions):
    """Rounds of the load generator, until there have been so many replies."""
    replies = junk = 0
    deadline = time.monotonic() + MAX_SECONDS
    while replies < transactions and time.monotonic() < deadline:
        report = json.loads(run([
            ours, "bench", "--server", address, "--server-key", key, "--identity", str(folder / "client.key"), "--authenticated-share", "0.5",
            "--junk", "0.05", "--duration", "5", "--concurrency", "256", "--sockets", "32", "--suite", "f002", "--json",
        ]))
        replies += report["replies"]
        junk += report["junk"]
        print(f"  {replies} replies, {report['replies_per_second']:.0f} a second", flush=True)
    return replies, junk


def main():
    ours = sys.argv[1]
    transactions = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000_000
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        key = run([ours, "keygen", "--out", str(folder / "server.key")]).strip()
        run([ours, "keygen", "--out", str(folder / "client.key")])
        command = [ours, "serve", "--listen", "127.0.0.1:0", "--secret-key", str(folder / "server.key"), "--log-level", "error"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
            try:
                address = server.stdout.readline().strip().removeprefix("listening on ")
                load(ours, folder, address, key, transactions // 10)
                samples, done = [sample(server.pid)], threading.Event()
                watcher = threading.Thread(target=watch, args=(server.pid, samples, done))
                watcher.start()
                replies, junk = load(ours, folder, address, key, transactions)
                done.set()
                watcher.join()
                samples.append(sample(server.pid))
            finally:
                server.send_signal(signal.SIGTERM)
                said = server.communicate(timeout=30)[1]
    before, after = samples[0], samples[-1]
    most = tuple(max(values) for values in zip(*samples))
    print(f"{replies} transactions and {junk} packets of junk, {len(samples)} samples")
    for place, what in enumerate(("bytes resident", "threads", "open files")):
        print(f"{what}: {before[place]} before, {after[place]} after, {most[place]} at most")
    print(f"server: {said.strip()}")
    counts = {name: int(count) for name, count in re.findall(r"(\w+) (\d+)", said)}
    ended = sum(count for name, count in counts.items() if name not in ("received", "receive_errors", "kernel_drops"))
    checks = {
        "the load was carried": replies >= transactions,
        "memory does not grow": most[0] <= before[0] + TOLERANCE_BYTES,
        "threads do not grow": most[1] <= before[1],
        "open files do not grow": most[2] <= before[2],
        "every packet is accounted for": counts["received"] == ended,
        "junk is refused, and nothing else": set(counts) <= {"received", "replied", "reply_resent", "decrypt_failed", "kernel_drops"},
    }
    for name, is_so in checks.items():
        print(f"{'ok  ' if is_so else 'FAIL'} {name}")
    passed = sum(checks.values())
    print(f"{passed} passed, {len(checks) - passed} failed")
    return 0 if passed == len(checks) else 1


if __name__ == "__main__":
    sys.exit(main())
