"""Feedback over the REST API: what is taken, what is refused, what it becomes, and what the lists and figures say."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from ml_backend import jobs
from ml_backend.bootstrap import utc_now
from tests.integration.api import JOHN, SSN, TEXT, Api, error_of, feedback, paths_of
from training.access import Role
from training.spans import hash_text
from training.store.tables.examples import TrainingDataset
from training.store.tables.feedback import ClassificationFeedback, MLClassificationResult
from training.store.tables.texts import TextRow


def count_rows(api: Api) -> tuple[int, ...]:
    """How many rows there are of all that feedback could write."""
    tables = (ClassificationFeedback, MLClassificationResult, TrainingDataset, TextRow)
    with api.store.read() as uow:
        return tuple(uow.session.scalar(select(func.count()).select_from(table)) or 0 for table in tables)


def test_api_feedback_takes_the_contracts_own_example(api: Api) -> None:
    """The example whose offsets are off by two is recorded at the place where its text stands, with a warning."""
    answer = api.post("feedback/", feedback())
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert body["status"] == "created"
    assert body["message"] == "Feedback recorded successfully"
    assert [w["path"] for w in body["warnings"]] == ["corrected_entities.1.start"]
    assert "20 to 31, not at 22 to 33" in body["warnings"][0]["message"]
    (listed,) = api.get("feedback/list/").json()["results"]
    assert listed["id"] == body["id"]
    assert [(e["start"], e["end"], e["label"], e["sublabel"]) for e in listed["corrected_entities"]] == [
        (0, 10, "PII", "PERSON"),
        (20, 31, "PII", "SSN"),
    ]
    assert listed["feedback_notes"] == "Missed the SSN"
    assert listed["user"]["username"] == "john.doe"


@pytest.mark.parametrize("is_correct", [True, False])
def test_api_feedback_becomes_an_unverified_example(api: Api, is_correct: bool) -> None:
    """Right and wrong feedback alike propose an example, which nothing trains on before somebody verifies it."""
    body = feedback(is_correct=True, corrected_entities=...) if is_correct else feedback()
    answer = api.post("feedback/", body).json()
    (example,) = api.get("training-data/").json()["results"]
    assert example["id"] == answer["training_data_id"]
    assert (example["source"], example["verified"]) == ("user_feedback", False)
    assert [e["sublabel"] for e in example["entities"]] == (["PERSON"] if is_correct else ["PERSON", "SSN"])
    with api.store.read() as uow:
        assert uow.examples.verified(1) == []
        assert uow.examples.count(1).unverified == 1


def test_api_feedback_says_what_verification_will_bring(api: Api) -> None:
    """Only a text of the train part will be used for training."""
    with api.store.write() as uow:
        project = uow.projects.lock(1)
        project.settings = {"test_fraction": 0.89, "dev_fraction": 0}
        uow.commit()
    said = set()
    for number in range(12):
        text = f"Order {'abcdefghijklm'[number] * 7} of {'nopqrstuvwxyz'[number] * 9} went out"
        answer = api.post("feedback/", {"text": text, "entities": [], "is_correct": True}).json()
        with api.store.read() as uow:
            row = uow.texts.find_text(1, hash_text(text))
            assert row is not None
            assert answer["will_be_used_for_training"] is (row.part == "train")
            said.add(row.part)
    assert "test" in said


def test_api_feedback_names_what_the_full_set_leaves_out(api: Api) -> None:
    """The contract's workflow sends only the missed entity: each predicted one left out is named in the warnings."""
    answer = api.post("feedback/", feedback(corrected_entities=[{**SSN, "start": 22, "end": 33}])).json()
    assert [w["path"] for w in answer["warnings"]] == ["corrected_entities.0.start", "corrected_entities"]
    assert "PERSON at 0 to 10" in answer["warnings"][1]["message"]


def test_api_feedback_follows_a_result(api: Api) -> None:
    """Feedback on a result needs neither text nor entities, and counts for the version that gave it."""
    result = api.post("classify/", {"text": TEXT}).json()
    assert api.post("feedback/", {"result_id": result["result_id"], "is_correct": True}).status_code == 201
    (listed,) = api.get("feedback/list/").json()["results"]
    assert (listed["text"], listed["result_id"], listed["model_version"]) == (TEXT, result["result_id"], "spanloop-v0")
    assert listed["corrected_entities"] == result["entities"] or [
        (e["start"], e["end"]) for e in listed["corrected_entities"]
    ] == [(0, 10), (20, 31)]
    (version,) = api.get("feedback/stats/").json()["by_model_version"]
    assert (version["model_version"], version["correct"], version["accuracy_rate"]) == ("spanloop-v0", 1, 1.0)


def test_api_feedback_takes_entities_as_classify_answers_them(api: Api) -> None:
    """A client sends back what it got, scores and all."""
    result = api.post("classify/", {"text": TEXT}).json()
    sent = {"text": result["text"], "entities": result["entities"], "is_correct": True}
    assert api.post("feedback/", sent).status_code == 201


def test_api_feedback_holds_entities_against_the_stored_result(api: Api) -> None:
    """What a result showed is known here; entities that differ from it are answered with a warning."""
    result_id = api.post("classify/", {"text": TEXT}).json()["result_id"]
    answer = api.post("feedback/", {"result_id": result_id, "entities": [], "is_correct": True}).json()
    assert [w["path"] for w in answer["warnings"]] == ["entities"]
    (listed,) = api.get("feedback/list/").json()["results"]
    assert len(listed["entities"]) == 2


def test_api_feedback_matches_labels_by_leaf_and_alias(api: Api) -> None:
    """US_SSN is SSN, in any case, and a leaf may stand in `label` alone."""
    with api.store.write() as uow:
        project = uow.projects.lock(1)
        project.taxonomy = [{"name": "PERSON", "group": "PII"}, {"name": "SSN", "group": "PII", "aliases": ["US_SSN"]}]
        uow.commit()
    entities = [{"start": 0, "end": 10, "label": "person"}, {"start": 20, "end": 31, "sublabel": "us_ssn"}]
    assert api.post("feedback/", feedback(corrected_entities=entities)).status_code == 201
    (listed,) = api.get("feedback/list/").json()["results"]
    assert [e["sublabel"] for e in listed["corrected_entities"]] == ["PERSON", "SSN"]


def corrected(*entities: dict[str, Any]) -> dict[str, Any]:
    """These as the corrected entities."""
    return {"corrected_entities": list(entities)}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an offset outside the text": (corrected({"start": 0, "end": 99, "label": "SSN"}), "corrected_entities.0.end"),
    "an end before its start": (corrected({**SSN, "start": 31, "end": 20}), "corrected_entities.0.end"),
    "words that the text does not hold": (corrected({**SSN, "text": "999"}), "corrected_entities.0.text"),
    "an unknown label": (corrected({**SSN, "sublabel": "PASSPORT"}), "corrected_entities.0.sublabel"),
    "a group for a leaf": (corrected({"start": 20, "end": 31, "label": "PII"}), "corrected_entities.0.label"),
    "no label at all": (corrected({"start": 20, "end": 31}), "corrected_entities.0.sublabel"),
    "the same entity twice": (corrected(SSN, SSN), "corrected_entities.1"),
    "overlapping entities": (corrected(SSN, {"start": 25, "end": 28, "label": "SSN"}), "corrected_entities.1"),
    "white space": (corrected({"start": 4, "end": 5, "label": "SSN"}), "corrected_entities.0.end"),
    "right, and corrected": ({"is_correct": True}, "is_correct"),
    "wrong, and the same": (corrected(JOHN), "is_correct"),
    "wrong, and not corrected": ({"corrected_entities": ...}, "corrected_entities"),
    "nothing shown, nothing named": ({"entities": ...}, "entities"),
    "no text": ({"text": ...}, "text"),
    "an empty text": ({"text": ""}, "text"),
    "a text of white space": ({"text": " \n", "entities": [], "corrected_entities": []}, "text"),
    "a long note": ({"notes": "x" * 10_001}, "notes"),
    "a null character": ({"text": TEXT + "\0"}, "text"),
    "a null character in the notes": ({"notes": "\0"}, "notes"),
    "a number for a switch": ({"is_correct": 1}, "is_correct"),
    "text for a switch": ({"is_correct": "true"}, "is_correct"),
    "an unknown field": ({"color": "red"}, "color"),
    "an unknown field of an entity": ({"entities": [{**JOHN, "color": "red"}]}, "entities.0.color"),
    "a switch for a number": ({"entities": [{**JOHN, "start": False}]}, "entities.0.start"),
    "text for a number": ({"entities": [{**JOHN, "start": "0"}]}, "entities.0.start"),
    "a negative offset": ({"entities": [{**JOHN, "start": -1}]}, "entities.0.start"),
    "a huge offset": ({"entities": [{**JOHN, "end": 10**30}]}, "entities.0.end"),
    "a score over 1": ({"entities": [{**JOHN, "score": 1.5}]}, "entities.0.score"),
    "entities that are no list": ({"entities": "none"}, "entities"),
    "a result id that is none": ({"result_id": "17"}, "result_id"),
    "a project that is a text": ({"project": "1"}, "project"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_api_feedback_refuses_bad_input_and_writes_nothing(sqlite_api: Api, case: str) -> None:
    """What cannot be used is refused with the path of the value, and nothing is half written."""
    changes, path = REFUSED[case]
    answer = sqlite_api.post("feedback/", feedback(**changes))
    error = error_of(answer, 422, answer.json()["error"]["code"])
    assert error["code"] in ("invalid_input", "span_invalid")
    assert path in paths_of(error)
    assert count_rows(sqlite_api) == (0, 0, 0, 0)


def test_api_feedback_lists_the_labels_that_are_allowed(sqlite_api: Api) -> None:
    """An unknown label is answered with those that are known."""
    error = error_of(
        sqlite_api.post("feedback/", feedback(entities=[{**JOHN, "sublabel": "PASSPORT"}])), 422, "span_invalid"
    )
    assert "known are PERSON, SSN, CITY" in error["details"][0]["message"]


def test_api_feedback_knows_only_results_that_are_there(sqlite_api: Api) -> None:
    """A result that does not exist, or whose text is another one, is refused."""
    missing = {"result_id": "0b7c2c0e-6a55-4c0e-9e0c-3f5f3c1f7a52", "is_correct": True}
    error_of(sqlite_api.post("feedback/", missing), 404, "not_found")
    result_id = sqlite_api.post("classify/", {"text": TEXT}).json()["result_id"]
    other = {"result_id": result_id, "text": "Another text", "is_correct": True}
    assert paths_of(error_of(sqlite_api.post("feedback/", other), 422, "invalid_input")) == ["text"]


def test_api_feedback_asks_for_the_text_that_was_not_kept(sqlite_api: Api) -> None:
    """Where results keep no text, feedback on one brings it along."""
    assert sqlite_api.patch("projects/1/", {"settings": {"record_texts": False}}).status_code == 200
    result_id = sqlite_api.post("classify/", {"text": TEXT}).json()["result_id"]
    error = error_of(sqlite_api.post("feedback/", {"result_id": result_id, "is_correct": True}), 422, "invalid_input")
    assert paths_of(error) == ["text"]
    sent = {"result_id": result_id, "text": TEXT, "is_correct": True}
    too_short = sqlite_api.post("feedback/", {**sent, "text": TEXT[:4]})
    assert paths_of(error_of(too_short, 422, "invalid_input")) == ["text"]
    assert sqlite_api.post("feedback/", sent).status_code == 201


def test_api_feedback_is_stored_once_under_its_key(api: Api) -> None:
    """The same submission under the same key gets the first answer; another one under it is refused."""
    headers = {"Idempotency-Key": "order 4711"}
    first = api.post("feedback/", feedback(), headers=headers)
    again = api.post("feedback/", feedback(), headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert ("Idempotent-Replayed" in first.headers, again.headers["Idempotent-Replayed"]) == (False, "true")
    error_of(api.post("feedback/", feedback(notes="other"), headers=headers), 409, "conflict")
    other = api.make_token("somebody else", Role.INGEST)
    assert api.post("feedback/", feedback(notes="other"), headers=headers, token=other).status_code == 201
    assert api.get("feedback/list/").json()["count"] == 2


def test_api_feedback_keys_are_forgotten_after_a_week(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys do not pile up: the daily tidying lets go of old ones, and of no others."""
    headers = {"Idempotency-Key": "order 4711"}
    first = api.post("feedback/", feedback(), headers=headers).json()["id"]
    jobs.tidy(api.services)
    assert api.post("feedback/", feedback(), headers=headers).json()["id"] == first
    monkeypatch.setattr(jobs, "utc_now", lambda: utc_now() + timedelta(days=8))
    jobs.tidy(api.services)
    assert api.post("feedback/", feedback(), headers=headers).json()["id"] != first


def test_api_feedback_is_stored_once_even_when_sent_at_once(api: Api) -> None:
    """Requests with one key that come at the same moment are one submission, and none of them fails."""
    headers = {"Idempotency-Key": "k"}
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda _: api.post("feedback/", feedback(), headers=headers), range(6)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert api.get("feedback/list/").json()["count"] == 1


def test_api_feedback_on_one_text_takes_the_newest_proposal(api: Api) -> None:
    """There is one example a text; every feedback on it stays in the list."""
    api.post("feedback/", feedback())
    api.post("feedback/", feedback(corrected_entities=[SSN]))
    assert api.get("feedback/list/").json()["count"] == 2
    (example,) = api.get("training-data/").json()["results"]
    assert [e["sublabel"] for e in example["entities"]] == ["SSN"]


def submit_some(api: Api, number: int = 7) -> list[str]:
    """Feedback on so many texts, every third of it right; ids, oldest first."""
    ids = []
    for index in range(number):
        text = f"{index}: {TEXT}"
        john = {**JOHN, "start": 3, "end": 13}
        body = {"text": text, "entities": [john], "is_correct": index % 3 == 0}
        if index % 3:
            body["corrected_entities"] = []
        ids.append(api.post("feedback/", body).json()["id"])
    return ids


def test_api_feedback_list_walks_forth_and_back(api: Api) -> None:
    """Following `next`, and then `previous`, meets every row once, newest first."""
    ids = submit_some(api)[::-1]
    page = api.get("feedback/list/?limit=3").json()
    assert (page["count"], page["limit"], page["offset"], page["previous"]) == (7, 3, 0, None)
    pages = [page]
    while pages[-1]["next"]:
        pages.append(api.client.get(pages[-1]["next"], headers={"Authorization": f"Bearer {api.token}"}).json())
    assert [row["id"] for one in pages for row in one["results"]] == ids
    before = api.client.get(pages[-1]["previous"], headers={"Authorization": f"Bearer {api.token}"}).json()
    assert [row["id"] for row in before["results"]] == ids[3:6]
    assert api.get("feedback/list/?offset=7").json()["results"] == []
    assert api.get("feedback/list/?offset=1000000000").json()["results"] == []


def test_api_feedback_list_filters(api: Api) -> None:
    """Each filter, and all of them together, let through what they say, and count it."""
    ids = submit_some(api)
    other = api.make_token("jane", Role.INGEST)
    api.post("feedback/", feedback(), token=other)
    users = {row["user"]["username"]: row["user"]["id"] for row in api.get("feedback/list/").json()["results"]}

    def listed(query: str) -> list[str]:
        page = api.get(f"feedback/list/?{query}").json()
        assert page["count"] == len(page["results"])
        return [row["id"] for row in page["results"]]

    assert listed("is_correct=true") == [ids[6], ids[3], ids[0]]
    assert len(listed("is_correct=False")) == 5
    assert len(listed(f"user_id={users['jane']}")) == 1
    assert len(listed(f"user_id={users['john.doe']}&is_correct=false&incorporated=false")) == 4
    assert listed("incorporated=true") == []
    assert listed("user_id=99") == []


def test_api_feedback_stats_say_what_the_contract_shows(api: Api) -> None:
    """Totals, rate, days and contributors agree with what was submitted."""
    submit_some(api)
    api.post("feedback/", feedback(), token=api.make_token("jane", Role.INGEST))
    figures = api.get("feedback/stats/").json()
    assert (figures["total_feedback"], figures["correct_classifications"]) == (8, 3)
    assert figures["incorrect_classifications"] == 5
    assert figures["accuracy_rate"] == pytest.approx(3 / 8)
    assert figures["pending_training_samples"] + figures["evaluation_samples"] == 8
    assert figures["incorporated_samples"] == 0
    (day,) = figures["feedback_by_day"]
    assert (day["total"], day["correct"], day["incorrect"]) == (8, 3, 5)
    assert [(c["username"], c["feedback_count"]) for c in figures["top_contributors"]] == [("john.doe", 7), ("jane", 1)]
    labels = {row["sublabel"]: row for row in figures["by_label"]}
    assert (labels["PERSON"]["shown"], labels["PERSON"]["kept"], labels["PERSON"]["wanted"]) == (8, 4, 4)
    assert labels["PERSON"]["precision"] == pytest.approx(0.5)
    assert (labels["SSN"]["shown"], labels["SSN"]["wanted"], labels["SSN"]["recall"]) == (0, 1, 0.0)


def test_api_feedback_stats_count_what_a_run_took_in_whatever_its_part(api: Api) -> None:
    """What was taken in is what the list shows as such; on dev and test texts it counts under evaluation too."""
    submit_some(api)
    before = api.get("feedback/stats/").json()
    with api.store.write() as uow:
        uow.feedback.mark_incorporated(1, [row.text_id for row in uow.feedback.of_project(1)])
        uow.commit()
    figures = api.get("feedback/stats/").json()
    assert figures["incorporated_samples"] == figures["total_feedback"] == 7
    assert figures["incorporated_samples"] == api.get("feedback/list/?incorporated=true").json()["count"]
    assert (figures["pending_training_samples"], figures["evaluation_samples"]) == (0, before["evaluation_samples"])


def test_api_feedback_stats_show_thirty_days(api: Api) -> None:
    """Feedback of the 30th day back counts among the days, older feedback only in the totals."""
    ids = submit_some(api, 3)
    with api.store.write() as uow:
        for feedback_id, days in zip(ids, (0, 29, 30), strict=True):
            row = uow.session.get_one(ClassificationFeedback, feedback_id)
            row.created_at = utc_now() - timedelta(days=days)
        uow.commit()
    figures = api.get("feedback/stats/").json()
    dates = [(utc_now() - timedelta(days=days)).date().isoformat() for days in (29, 0)]
    assert [day["date"] for day in figures["feedback_by_day"]] == dates
    assert figures["total_feedback"] == 3


def test_api_feedback_stats_of_nothing_hold_no_rate(sqlite_api: Api) -> None:
    """Without feedback there is no rate, and nothing fails."""
    figures = sqlite_api.get("feedback/stats/").json()
    assert (figures["total_feedback"], figures["accuracy_rate"], figures["feedback_by_day"]) == (0, None, [])


def test_api_feedback_needs_the_project_where_there_are_several(sqlite_api: Api) -> None:
    """With two projects one must be named, and the answer says which there are; a deleted one is gone."""
    second = sqlite_api.add_project()
    error = error_of(sqlite_api.post("feedback/", feedback()), 422, "invalid_input")
    assert paths_of(error) == ["project"]
    assert "1 (Project 1)" in error["message"]
    assert sqlite_api.post("feedback/", feedback(project=second)).status_code == 201
    assert sqlite_api.get("feedback/stats/?project=1").json()["total_feedback"] == 0
    assert sqlite_api.get(f"feedback/stats/?project={second}").json()["total_feedback"] == 1
    with sqlite_api.store.write() as uow:
        uow.projects.lock(second).deleted_at = utc_now()
        uow.commit()
    error_of(sqlite_api.post("feedback/", feedback(project=second)), 404, "not_found")
    assert sqlite_api.post("feedback/", feedback()).status_code == 201
