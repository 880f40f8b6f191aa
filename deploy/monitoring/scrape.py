"""A real Prometheus reads what a service shows of itself.

  scrape.py PSSST      where PSSST is our program; needs prometheus (Debian's package)

Prints what it read; ends with an error if that is not what the service served.
"""

import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

PATIENCE_SECONDS = 60
REQUESTS = 7


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def main():
    ours = sys.argv[1]
    processes = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        try:
            key = subprocess.run([ours, "keygen", "--out", folder / "server.key"], capture_output=True, text=True, check=True).stdout.strip()
            metrics, prometheus = free_port(), free_port()
            serve = [ours, "serve", "--listen", "127.0.0.1:0", "--secret-key", folder / "server.key", "--metrics", f"127.0.0.1:{metrics}"]
            processes.append(subprocess.Popen(serve, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True))
            address = processes[0].stdout.readline().strip().removeprefix("listening on ")
            for _ in range(REQUESTS):
                subprocess.run([ours, "request", "--server", address, "--server-key", key, "hello"], check=True, capture_output=True)
            (folder / "prometheus.yml").write_text(
                "global: {scrape_interval: 1s}\n"
                f"scrape_configs: [{{job_name: pssst, static_configs: [{{targets: ['127.0.0.1:{metrics}']}}]}}]\n"
            )
            command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
            command += [f"--web.listen-address=127.0.0.1:{prometheus}", "--log.level=error"]
            processes.append(subprocess.Popen(command))

            def ask(query):
                url = f"http://127.0.0.1:{prometheus}/api/v1/query?" + urllib.parse.urlencode({"query": query})
                try:
                    with urllib.request.urlopen(url, timeout=5) as answer:
                        return json.load(answer)["data"]["result"]
                except OSError:
                    return []

            end = time.monotonic() + PATIENCE_SECONDS
            while not (read := ask("up == 1")):
                assert time.monotonic() < end, "Prometheus reads nothing"
                time.sleep(0.2)
            value = lambda query: float(ask(query)[0]["value"][1])
            assert len(read) == 1 and value("sum(pssst_server_replies_total)") == REQUESTS, ask("pssst_server_replies_total")
            assert value("pssst_ready") == 1 and value("sum(pssst_server_requests_total)") == REQUESTS
            assert value("histogram_quantile(0.5, sum by (le) (pssst_server_request_duration_seconds_bucket))") > 0
            # As the program says itself, and no sample less.
            with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=5) as page:
                lines = [line for line in page.read().decode().splitlines() if not line.startswith("#")]
            samples = value('scrape_samples_scraped{job="pssst"}')
            assert samples == len(lines) > 60, (samples, len(lines))
            print(f"{samples:.0f} samples")
        finally:
            for process in reversed(processes):
                process.terminate()
                process.wait()


main()
