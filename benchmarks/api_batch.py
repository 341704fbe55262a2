"""`POST batch-classify/` against the same pipeline called in this process: `python -m benchmarks.api_batch`."""

from __future__ import annotations

import argparse
import http.client
import json
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from benchmarks.api_server import (
    API,
    ApiServer,
    add_project,
    database_argument,
    make_services,
    open_database,
    say,
    serve_api,
    write,
)
from training.demo.texts import generate
from training.runs.run import open_version

ROUNDS = 5


def main() -> None:
    """Measure both ways by turns, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    database_argument(parser)
    parser.add_argument("--base-model", default="en_core_web_sm", help="what version 0 is made of (en_core_web_sm)")
    parser.add_argument("--texts", type=int, default=1000, help="texts of one request, at most 1000 (1000)")
    arguments = parser.parse_args()
    texts = [text.text for text in generate(arguments.texts, seed=5)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spanloop-batch-")))
        url = stack.enter_context(open_database(arguments.database, folder))
        services = make_services(folder, url)
        _, token = add_project(services, base_model=arguments.base_model)
        with services.store.read() as uow:
            live = uow.models.live(1)
        assert live is not None
        pipeline = open_version(live, services.artefacts)
        server = stack.enter_context(serve_api(services, token, workers=1))
        say(f"{ROUNDS} rounds of {len(texts)} texts …")
        send(server, texts[:50])
        pipeline.predict(texts[:50])
        served, direct = [], []
        for _ in range(ROUNDS):
            served.append(send(server, texts))
            began = time.perf_counter()
            pipeline.predict(texts)
            direct.append(time.perf_counter() - began)
    over_api, in_process = (len(texts) / median(seconds) for seconds in (served, direct))
    write(
        f"batch-classify of {len(texts)} texts, {arguments.base_model}, {arguments.database}: {over_api:,.0f} texts/s "
        f"over the API, {in_process:,.0f} texts/s in the process ({over_api / in_process:.0%})"
    )


def send(server: ApiServer, texts: list[str]) -> float:
    """Classify texts by one request; seconds."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=120)
    body = json.dumps({"texts": texts}).encode()
    began = time.perf_counter()
    connection.request("POST", f"{API}/batch-classify/", body=body, headers=server.headers)
    answer = connection.getresponse()
    found = json.loads(answer.read())
    seconds = time.perf_counter() - began
    connection.close()
    assert answer.status == 200, found
    assert len(found["results"]) == len(texts)
    return seconds


if __name__ == "__main__":
    main()
