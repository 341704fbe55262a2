"""Lists and statistics of the REST API over many rows: `python -m benchmarks.api_lists --rows 1000000`.

`--store FOLDER` keeps what was filled in (SQLite alone), and a second run on it adds what is missing, and measures.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Table, func, insert, select

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
from ml_backend.bootstrap import Services, utc_now
from training.access import Role
from training.admission import create_token
from training.spans import hash_text
from training.store.counting import rebuild_counts
from training.store.tables.annotations import Contributor
from training.store.tables.base import Base
from training.store.tables.examples import ExampleGroup, TrainingDataset
from training.store.tables.feedback import ClassificationFeedback, MLClassificationResult
from training.store.tables.texts import TextRow

CHUNK = 5_000
TRIES = 30
PARTS = ("train",) * 13 + ("dev",) * 3 + ("test",) * 4
LABELS = (("PERSON", "PII"), ("SSN", "PII"), ("CREDIT_CARD", "FINANCIAL"))
CONTRIBUTORS = 50
# Of so many rows one is of a rare kind: filters that let few rows through must find them among all the others.
RARE = 50_000
APPLICATION = 1000
PATHS = (
    "feedback/stats/",
    "feedback/list/",
    "feedback/list/?offset=500000",
    "feedback/list/?is_correct=false",
    "feedback/list/?is_correct=false&offset=100000",
    "feedback/list/?incorporated=true",
    "feedback/list/?user_id=7",
    "feedback/list/?user_id=7&is_correct=false&incorporated=false",
    "feedback/list/?user_id=0&incorporated=true",
    "feedback/list/?user_id=0&is_correct=false",
    "feedback/list/?user_id=0&is_correct=false&incorporated=true",
    "training-data/",
    "training-data/?offset=500000",
    "training-data/?verified=true",
    "training-data/?source=manual",
    "training-data/?classification_type=FINANCIAL",
    "training-data/?verified=true&classification_type=PII&source=user_feedback",
    "training-data/?source=label_studio",
    "training-data/?source=label_studio&verified=false",
    "training-data/?verified=true&source=label_studio",
    "training-data/?classification_type=PII&source=label_studio",
    "training-data/?classification_type=PII&verified=true&source=label_studio",
    "training-data/?classification_type=FINANCIAL&verified=true&source=label_studio",
)


def main() -> None:
    """Fill, ask, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    database_argument(parser)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of feedback, and as many examples (1000000)")
    parser.add_argument("--workers", type=int, default=2, help="uvicorn worker processes (2)")
    parser.add_argument("--store", type=Path, help="a folder that is kept")
    parser.add_argument("--only-fill", action="store_true", help="fill the store, and measure nothing")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = arguments.store or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spanloop-lists-")))
        folder.mkdir(parents=True, exist_ok=True)
        url = stack.enter_context(open_database(arguments.database, folder))
        services = make_services(folder, url)
        token = find_token(services, arguments.rows)
        if arguments.only_fill:
            return
        server = stack.enter_context(serve_api(services, token, workers=arguments.workers))
        write(f"{arguments.database}, {arguments.rows:,} rows, {arguments.workers} workers, {TRIES} requests each")
        for path in PATHS:
            ask(server, path)


def find_token(services: Services, rows: int) -> str:
    """A token for the store, which is filled up to so many rows."""
    with services.store.write() as uow:
        known = uow.session.scalar(select(func.count()).select_from(TextRow)) or 0
        has_project = bool(uow.projects.all())
        made = create_token(
            uow, f"figures {utc_now()}", Role.ADMIN, secret=f"{random.getrandbits(128):x}", now=utc_now()
        )
        uow.commit()
    if not has_project:
        add_project(services, base_model="blank:en")
        add_people(services)
    if known < rows:
        began = time.perf_counter()
        fill(services, known, rows)
        say(f"filled in {time.perf_counter() - began:.0f} s")
    return made


def add_people(services: Services) -> None:
    """Make those who give the feedback."""
    with services.store.engine.begin() as connection:
        people = [
            {"id": 1000 + n, "kind": "annotator", "external_key": f"bench {n}", "username": f"user {n}"}
            for n in range(CONTRIBUTORS)
        ]
        connection.execute(insert(Contributor), people)


def fill(services: Services, known: int, rows: int) -> None:
    """Put feedback on further texts in, past the session, and count it."""
    now = utc_now()
    for start in range(known, rows, CHUNK):
        tables: dict[Any, list[dict[str, Any]]] = {}
        for number in range(start, min(rows, start + CHUNK)):
            for table, row in make_rows(number, now - timedelta(seconds=2 * number)):
                tables.setdefault(table, []).append(row)
        with services.store.engine.begin() as connection:
            for table in Base.metadata.sorted_tables:
                if table in tables:
                    connection.execute(insert(table), tables[table])
    with services.store.write() as uow:
        rebuild_counts(uow.session, 1)
        uow.commit()


def make_rows(number: int, at: datetime) -> Iterator[tuple[Table, dict[str, Any]]]:
    """A text with its example, a result and feedback on it."""
    draw = random.Random(number)
    label, group = LABELS[number % len(LABELS)]
    value = f"value{number:x}"
    text = f"Please note that the letter about {value} was sent to this address on day {draw.randrange(365)}."
    start = text.index(value)
    spans = [{"start": start, "end": start + len(value), "label": label}]
    part, wrong, taken = PARTS[number % len(PARTS)], draw.random() < 0.1, draw.random() < 0.5
    source, giver = draw.choice(("user_feedback", "manual", "imported")), 1001 + draw.randrange(CONTRIBUTORS - 1)
    if number % 2 == 0:  # half of it is an application's, hardly ever wrong and hardly ever verified
        wrong = taken = number % RARE == 0
        source, giver = "label_studio" if taken else "user_feedback", APPLICATION
    ids = {"project_id": 1, "text_id": number + 1}
    example_id, result_id = f"e{number:035x}", f"r{number:035x}"
    text_row = {"id": number + 1, "project_id": 1, "hash": hash_text(text), "text": text, "part": part}
    yield _table(TextRow), {**text_row, "bridged_groups": [], "first_seen_at": at}
    example = {"id": example_id, "entities": spans, "problems": [], "classification_type": group, "groups": [group]}
    example |= {"part": part, "source": source, "verified": taken, "revision": "1", "usage_count": 0}
    yield _table(TrainingDataset), {**ids, **example, "created_at": at, "updated_at": at}
    of_group = {"project_id": 1, "name": group, "verified": taken, "source": source}
    yield _table(ExampleGroup), {**of_group, "created_at": at, "example_id": example_id}
    result = {"id": result_id, "model_version": f"spanloop-v{number % 5}", "kind": "model", "entities": spans}
    yield _table(MLClassificationResult), {**ids, **result, "created_at": at}
    given = {"id": f"f{number:035x}", "result_id": result_id, "contributor_id": giver}
    given |= {"is_correct": not wrong, "corrected_entities": [] if wrong else spans, "notes": "", "withdrawn": False}
    given |= {"incorporated_in_training": taken, "part": part, "model_version": result["model_version"]}
    given |= {"kind": "model", "label_counts": {label: [1, int(not wrong), int(not wrong)]}}
    yield _table(ClassificationFeedback), {**ids, **given, "created_at": at, "updated_at": at}


def _table(of: type[Base]) -> Table:
    table = of.__table__
    assert isinstance(table, Table)
    return table


def ask(server: ApiServer, path: str) -> None:
    """Ask for a page some times, and print how long it took."""
    address = path.replace("user_id=", "user_id=100")
    connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
    found: list[float] = []
    answer: dict[str, Any] = {}
    for _ in range(TRIES):
        began = time.perf_counter()
        connection.request("GET", f"{API}/{address}", headers=server.headers)
        body = connection.getresponse().read()
        found.append((time.perf_counter() - began) * 1000)
        answer = json.loads(body)
    connection.close()
    count = answer.get("count", answer.get("total_feedback"))
    write(
        f"{path:<75} {count:>9,} rows: median {percentile(found, 0.5):>6.1f} ms, "
        f"99th {percentile(found, 0.99):>6.1f} ms, first {found[0]:>6.1f} ms"
    )


if __name__ == "__main__":
    main()
