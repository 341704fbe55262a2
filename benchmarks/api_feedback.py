"""`POST feedback/` under a steady load: `python -m benchmarks.api_feedback --rate 50 --database postgresql`.

The load is open: each request has its time, whether or not earlier ones were answered, and its latency counts from
that time on.
"""

from __future__ import annotations

import argparse
import http.client
import json
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.api_server import (
    API,
    ApiServer,
    add_project,
    database_argument,
    make_services,
    open_database,
    percentile,
    say,
    serve_api,
    write,
)
from tests.live.redis import run_redis
from training.demo.texts import generate

CLIENTS = 16
WARM_UP = 100


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    database_argument(parser)
    parser.add_argument("--rate", type=float, default=50, help="requests a second (50)")
    parser.add_argument("--seconds", type=float, default=60, help="how long (60)")
    parser.add_argument("--workers", type=int, default=2, help="uvicorn worker processes (2)")
    arguments = parser.parse_args()
    number = int(arguments.rate * arguments.seconds)
    bodies = [make_body(text.text, text.spans) for text in generate(number + WARM_UP, seed=3)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spanloop-api-")))
        url = stack.enter_context(open_database(arguments.database, folder))
        redis_url = stack.enter_context(run_redis(folder))
        services = make_services(folder, url, redis_url=redis_url)
        _, token = add_project(services, base_model="blank:en")
        server = stack.enter_context(serve_api(services, token, workers=arguments.workers))
        say(f"{number} submissions at {arguments.rate:g} a second …")
        send(server, bodies[:WARM_UP], rate=arguments.rate)
        latencies, failures = send(server, bodies[WARM_UP:], rate=arguments.rate)
    write(
        f"POST feedback/ on {arguments.database}, {arguments.workers} workers, {arguments.rate:g} a second, "
        f"{len(latencies)} answers, {failures} failures: median {percentile(latencies, 0.5):.1f} ms, "
        f"95th {percentile(latencies, 0.95):.1f} ms, 99th {percentile(latencies, 0.99):.1f} ms, "
        f"longest {max(latencies):.1f} ms"
    )


def make_body(text: str, spans: tuple[object, ...]) -> bytes:
    """Wrong feedback on a text: its last span was missed."""
    rows = [
        {"text": text[s.start : s.end], "start": s.start, "end": s.end, "label": "", "sublabel": s.label}  # type: ignore[attr-defined]
        for s in spans
    ]
    body = {"text": text, "entities": rows[:-1], "is_correct": not rows, "notes": "made up"}
    return json.dumps(body | ({"corrected_entities": rows} if rows else {})).encode()


def send(server: ApiServer, bodies: list[bytes], *, rate: float) -> tuple[list[float], int]:
    """Send each body at its time; milliseconds from that time to the answer, and how many failed."""
    latencies: list[float] = []
    failures: list[int] = []
    start = time.perf_counter() + 0.5

    def work(client: int) -> None:
        connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
        for index in range(client, len(bodies), CLIENTS):
            due = start + index / rate
            time.sleep(max(due - time.perf_counter(), 0))
            connection.request("POST", f"{API}/feedback/", body=bodies[index], headers=server.headers)
            answer = connection.getresponse()
            answer.read()
            latencies.append((time.perf_counter() - due) * 1000)
            if answer.status != 201:
                failures.append(answer.status)
        connection.close()

    threads = [threading.Thread(target=work, args=(client,)) for client in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return latencies, len(failures)


if __name__ == "__main__":
    main()
