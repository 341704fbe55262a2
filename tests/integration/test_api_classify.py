"""Classification over the REST API: what is answered, what is kept, what is counted."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from ml_backend.model_slot import ModelSlots
from tests.integration.api import TEXT, Api, error_of
from training.store.tables.feedback import MLClassificationResult
from training.store.tables.texts import TextRow


def kept(api: Api) -> list[MLClassificationResult]:
    """The results that are kept."""
    with api.store.read() as uow:
        return list(uow.session.scalars(select(MLClassificationResult).order_by(MLClassificationResult.created_at)))


def test_api_classify_keeps_a_result_and_no_example(api: Api) -> None:
    """What was said is kept for later feedback; the text gets no part of the split by that."""
    answer = api.post("classify/", {"text": TEXT}).json()
    (result,) = kept(api)
    assert (result.id, result.text, result.text_id) == (answer["result_id"], TEXT, None)
    assert (result.model_version, result.kind) == ("spanloop-v0", "model")
    assert result.processing_time_ms is not None
    with api.store.read() as uow:
        assert uow.session.scalar(select(func.count()).select_from(TextRow)) == 0


@pytest.mark.parametrize(("setting", "results", "texts"), [("record_texts", 1, [None]), ("record_results", 0, [])])
def test_api_classify_keeps_less_where_told(sqlite_api: Api, setting: str, results: int, texts: list[None]) -> None:
    """Texts can be left out, and results altogether; the counts go on."""
    assert sqlite_api.patch("projects/1/", {"settings": {setting: False}}).status_code == 200
    answer = sqlite_api.post("classify/", {"text": TEXT}).json()
    assert len(answer["entities"]) == 2
    assert (answer["result_id"] is not None) == bool(results)
    assert [result.text for result in kept(sqlite_api)] == texts
    figures = sqlite_api.get("stats/").json()
    assert (figures["total_classifications"], figures[setting]) == (1, False)


def test_api_classify_batch_answers_in_order(api: Api) -> None:
    """A batch is answered text by text; a bad one gets its own error, and each good one its own result."""
    texts = ["Ada Byron", "", 17, None, "a\0b", ["x"], TEXT, "x" * 1_000_001, "nothing"]
    answer = api.post("batch-classify/", {"texts": texts}).json()
    assert (answer["count"], answer["failed"]) == (9, 6)
    assert [item["index"] for item in answer["results"]] == list(range(9))
    assert [item["error"] is None for item in answer["results"]] == [i in (0, 6, 8) for i in range(9)]
    assert [len(item["entities"]) for item in answer["results"]] == [1, 0, 0, 0, 0, 0, 2, 0, 0]
    assert {item["error"]["code"] for item in answer["results"] if item["error"]} == {"invalid_input"}
    ids = [item["result_id"] for item in answer["results"] if item["error"] is None]
    assert len(set(ids)) == 3
    assert {result.id for result in kept(api)} == set(ids)


def test_api_classify_batch_with_half_a_character(sqlite_api: Api) -> None:
    """A lone surrogate spoils its own text alone."""
    answer = sqlite_api.call(
        "POST",
        "batch-classify/",
        content=b'{"texts": ["\\ud800", "Ada Byron"]}',
        headers={"Content-Type": "application/json"},
    )
    assert [item["error"] is None for item in answer.json()["results"]] == [False, True]


def test_api_classify_batch_takes_a_thousand(sqlite_api: Api) -> None:
    """1,000 texts are one batch, 1,001 are too many, none is too few; all bad ones are an answer too."""
    assert sqlite_api.post("batch-classify/", {"texts": ["a"] * 1000}).json()["count"] == 1000
    assert len(kept(sqlite_api)) == 1000
    error_of(sqlite_api.post("batch-classify/", {"texts": ["a"] * 1001}), 422, "invalid_input")
    error_of(sqlite_api.post("batch-classify/", {"texts": []}), 422, "invalid_input")
    assert sqlite_api.post("batch-classify/", {"texts": [""]}).json()["failed"] == 1


def test_api_classify_counts_by_version_and_label(api: Api) -> None:
    """The statistics add up over single texts and batches, and tell how long a text took."""
    api.post("classify/", {"text": TEXT})
    api.post("batch-classify/", {"texts": [TEXT, "Ada Byron", ""]})
    figures = api.get("stats/").json()
    assert (figures["total_classifications"], figures["total_entities"]) == (3, 5)
    assert figures["by_model"] == [{"model_version": "spanloop-v0", "texts": 3, "entities": 5}]
    assert [(one["sublabel"], one["entities"]) for one in figures["by_label"]] == [("PERSON", 3), ("SSN", 2)]
    latency = figures["latency_ms"]
    assert 0 < latency["median"] <= latency["p95"] <= latency["p99"]
    assert figures["model"]["version"] == "spanloop-v0"
    assert figures["uptime_seconds"] > 0


def test_api_classify_statistics_of_nothing(sqlite_api: Api) -> None:
    """Before anything was classified there are zeros, and no latency."""
    figures = sqlite_api.get("stats/").json()
    assert (figures["total_classifications"], figures["by_label"]) == (0, [])
    assert figures["latency_ms"] == {"median": None, "p95": None, "p99": None}


def test_api_classify_of_a_deleted_project(sqlite_api: Api) -> None:
    """A project that was deleted in Label Studio is not there, named or not."""
    with sqlite_api.store.write() as uow:
        project = uow.projects.lock(1)
        project.deleted_at = project.created_at
        uow.commit()
    error_of(sqlite_api.post("classify/", {"text": TEXT, "project": 1}), 404, "not_found")
    error_of(sqlite_api.post("classify/", {"text": TEXT}), 404, "not_found")


def test_api_classify_serves_the_real_version_0(sqlite_api: Api) -> None:
    """The live version itself answers: patterns with their scores, on a blank base."""
    slots = ModelSlots(sqlite_api.store, sqlite_api.services.artefacts, poll_seconds=60)
    sqlite_api.app.state.slots = slots
    answer = sqlite_api.post("classify/", {"text": "His number is 536-22-8726, call back."}).json()
    (entity,) = answer["entities"]
    assert (entity["text"], entity["label"], entity["sublabel"]) == ("536-22-8726", "PII", "SSN")
    assert 0 < entity["score"] <= 1
    assert answer["model_version"] == "spanloop-v0"
