"""Training data over the REST API: proposals, verification through Label Studio, and what may be changed by whom."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ml_backend.bootstrap import utc_now
from sync.proposing import show_proposals
from tests.integration.api import JOHN, SSN, TEXT, Api, error_of, feedback, paths_of
from tests.integration.rows import new_run
from training.access import Role
from training.examples.intake import SeenTask, record_deletions, record_task
from training.store.tables.examples import TrainingDataset
from training.store.tables.runs import Incorporation
from training.store.tables.runs import TrainingBatch as Run


def add(api: Api, text: str = TEXT, **changes: Any) -> dict[str, Any]:
    """Add an example; the answer."""
    answer = api.post("training-data/", {"text": text, "entities": [JOHN], **changes})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def submit(api: Api, example: dict[str, Any], *entities: dict[str, Any]) -> int:
    """Let an annotator submit these entities for the example's text; the annotation's id."""
    answer = api.patch(f"training-data/{example['id']}/", {"verified": True, "entities": list(entities)})
    assert answer.status_code == 200, answer.text
    found: int = answer.json()["annotation_id"]
    return found


def mirror(api: Api, task_id: int) -> None:
    """Let the store know a task of the text, as a webhook would."""
    with api.store.write() as uow:
        record_task(uow, uow.projects.lock(1), SeenTask(task_id, TEXT, None, False, utc_now()), now=utc_now())
        uow.commit()


def show(api: Api) -> None:
    """Let proposals come to Label Studio, as a job does."""
    with api.store.write() as uow:
        project, live = uow.projects.lock(1), uow.models.live(1)
        assert live is not None
        project.announced_model_id = live.id
        uow.commit()
    show_proposals(api.store, api.label_studio, 1, limit=10, clock=utc_now)  # type: ignore[arg-type]


def test_api_training_data_is_proposed(api: Api) -> None:
    """What is added by hand is unverified, and nothing trains on it."""
    example = add(api)
    assert (example["source"], example["verified"], example["classification_type"]) == ("manual", False, "PII")
    with api.store.read() as uow:
        assert uow.examples.verified(1) == []
    assert api.get(f"training-data/{example['id']}/").json() == example


def test_api_training_data_holds_one_example_a_text(api: Api) -> None:
    """The same text again updates its example, and is answered with 200."""
    example = add(api)
    again = api.post("training-data/", {"text": TEXT, "entities": [SSN], "classification_type": "SECRET"})
    assert again.status_code == 200
    assert (again.json()["id"], again.json()["classification_type"]) == (example["id"], "SECRET")
    assert [e["sublabel"] for e in again.json()["entities"]] == ["SSN"]
    assert api.get("training-data/").json()["count"] == 1


def test_api_training_data_keeps_a_given_type(api: Api) -> None:
    """A type that somebody gave stays when entities change and when it is verified; an empty one derives it anew."""
    example = add(api, classification_type="LETTER")
    submit(api, example, SSN)
    shown = api.get(f"training-data/{example['id']}/").json()
    assert (shown["classification_type"], shown["verified"]) == ("LETTER", True)
    for empty in ("", " "):
        api.patch(f"training-data/{example['id']}/", {"classification_type": " LETTER "})
        assert api.get(f"training-data/{example['id']}/").json()["classification_type"] == "LETTER"
        changed = api.patch(f"training-data/{example['id']}/", {"classification_type": empty})
        assert changed.json()["classification_type"] == "PII"


def test_api_training_data_filters(api: Api) -> None:
    """Each filter lets through what it says; the type matches any entity's group as well as the stored type."""
    with api.store.write() as uow:
        project = uow.projects.lock(1)
        groups = {"PERSON": "PII", "SSN": "FINANCIAL", "CITY": "PLACE"}
        project.taxonomy = [{"name": name, "group": group} for name, group in groups.items()]
        uow.commit()
    both = add(api, "first: " + TEXT, entities=[{**JOHN, "start": 7, "end": 17}, {**SSN, "start": 27, "end": 38}])["id"]
    person = add(api, "second: " + TEXT, entities=[{**JOHN, "start": 8, "end": 18}], classification_type="LETTER")["id"]
    nothing = add(api, "third", entities=[])["id"]
    said = api.post("feedback/", feedback()).json()["training_data_id"]
    submit(api, {"id": nothing})

    def listed(query: str) -> list[str]:
        page = api.get(f"training-data/?{query}").json()
        assert page["count"] == len(page["results"]), query
        return [row["id"] for row in page["results"]]

    assert listed("") == [said, nothing, person, both]
    assert listed("verified=true") == [nothing]
    assert listed("verified=false&source=manual") == [person, both]
    assert listed("classification_type=FINANCIAL") == [said, both]
    assert listed("classification_type=PII&source=user_feedback") == [said]
    assert listed("classification_type=LETTER&verified=false") == [person]
    assert listed("classification_type=PLACE") == []
    assert listed("classification_type=letter") == [person]
    # Types are free text, so that one may be spelt in several ways, and a text may be of two of them.
    api.patch(f"training-data/{person}/", {"classification_type": "pii"})
    assert listed("classification_type=pii") == listed("classification_type=PII") == [said, person, both]
    assert listed("classification_type=Pii&source=manual") == [person, both]
    assert [
        row["id"] for row in api.get("training-data/?classification_type=pII&limit=1&offset=1").json()["results"]
    ] == [person]
    assert listed("source=imported") == []


def test_api_training_data_pages_in_one_order(api: Api) -> None:
    """Pages of a filtered list follow on each other, from both ends."""
    ids = [add(api, f"number {number}: nothing", entities=[], classification_type="T")["id"] for number in range(7)]
    for query in ("", "&verified=false", "&source=manual", "&classification_type=T"):
        pages = [api.get(f"training-data/?limit=2&offset={at}{query}").json()["results"] for at in range(0, 8, 2)]
        assert [row["id"] for page in pages for row in page] == ids[::-1]


def test_api_training_data_verifies_through_label_studio(api: Api) -> None:
    """A reviewer's word makes the annotation in Label Studio, on a task that is made for it."""
    example = add(api)
    answer = api.patch(f"training-data/{example['id']}/", {"verified": True}).json()
    assert answer["verified"] is True
    (task,) = api.label_studio.tasks.values()
    assert task.data == {"text": TEXT}
    (annotation,) = task.annotations
    assert annotation.id == answer["annotation_id"]
    assert [region["value"]["labels"] for region in annotation.result] == [["PERSON"]]
    assert not annotation.ground_truth
    with api.store.read() as uow:
        assert [row.text for _, row in uow.examples.verified(1)] == [TEXT]
    again = api.patch(f"training-data/{example['id']}/", {"verified": True})
    assert again.status_code == 200
    assert len(api.label_studio.tasks) == 1


def test_api_training_data_verifies_on_the_task_that_is_there(api: Api) -> None:
    """Where the text is a task already, the annotation is made on that one; a task that is gone is made anew."""
    example = add(api)
    annotation_id = submit(api, example, JOHN)
    (task_id,) = api.label_studio.tasks
    api.label_studio.delete_annotation(annotation_id)
    with api.store.write() as uow:
        record_deletions(uow, uow.projects.lock(1), [annotation_id], now=utc_now())
        uow.commit()
    assert api.get(f"training-data/{example['id']}/").json()["verified"] is False
    assert api.patch(f"training-data/{example['id']}/", {"verified": True}).json()["verified"] is True
    assert list(api.label_studio.tasks) == [task_id]


@pytest.mark.parametrize("rule", ["ground_truth", "agreement:3"])
def test_api_training_data_stars_where_a_submit_is_not_enough(sqlite_api: Api, rule: str) -> None:
    """Under a rule that asks for more, a reviewer's annotation is the ground truth, and verifies."""
    sqlite_api.patch("projects/1/", {"settings": {"verification_rule": rule}})
    example = add(sqlite_api)
    assert sqlite_api.patch(f"training-data/{example['id']}/", {"verified": True}).json()["verified"] is True
    (task,) = sqlite_api.label_studio.tasks.values()
    assert task.annotations[0].ground_truth


def test_api_training_data_is_verified_at_once(api: Api) -> None:
    """A reviewer adds a verified example in one step; an application may not."""
    answer = api.post("training-data/", {"text": TEXT, "entities": [JOHN], "verified": True})
    assert answer.status_code == 201
    assert (answer.json()["verified"], answer.json()["source"]) == (True, "manual")
    token = api.make_token("app", Role.INGEST)
    body = {"text": "other", "entities": [], "verified": True}
    error_of(api.post("training-data/", body, token=token), 403, "forbidden")
    assert api.get("training-data/").json()["count"] == 1


@pytest.mark.parametrize("way", ["post", "patch", "delete"])
def test_api_training_data_changes_nothing_without_label_studio(sqlite_api: Api, way: str) -> None:
    """With Label Studio away the answer is 503, and everything is as it was."""
    example = add(sqlite_api)
    if way == "delete":
        mirror(sqlite_api, 5)
    before = sqlite_api.get("training-data/").json()
    sqlite_api.label_studio.down = True
    path = f"training-data/{example['id']}/"
    answer = {
        "post": lambda: sqlite_api.post("training-data/", {"text": "new", "entities": [], "verified": True}),
        "patch": lambda: sqlite_api.patch(path, {"verified": True, "entities": [SSN], "classification_type": "X"}),
        "delete": lambda: sqlite_api.delete(path),
    }[way]()
    error_of(answer, 503, "label_studio_unavailable")
    assert sqlite_api.get("training-data/").json() == before


def test_api_training_data_leaves_annotators_their_word(api: Api) -> None:
    """What an annotator said is changed and deleted in Label Studio alone."""
    example = add(api)
    submit(api, example, JOHN)
    path = f"training-data/{example['id']}/"
    error_of(api.patch(path, {"entities": [SSN]}), 409, "conflict")
    error_of(api.patch(path, {"verified": False}), 409, "conflict")
    error_of(api.delete(path), 409, "conflict")
    error_of(api.post("training-data/", {"text": TEXT, "entities": [SSN]}), 409, "conflict")
    assert api.post("training-data/", {"text": TEXT, "entities": [JOHN]}).status_code == 200
    said = api.post("feedback/", feedback()).json()
    assert "text" in [warning["path"] for warning in said["warnings"]]
    assert [e["sublabel"] for e in api.get(path).json()["entities"]] == ["PERSON"]


def test_api_training_data_is_taken_out(api: Api) -> None:
    """An unverified example goes, with the task that was made for it; its text keeps its part."""
    example = add(api)
    show(api)
    assert len(api.label_studio.tasks) == 1
    assert api.delete(f"training-data/{example['id']}/").status_code == 204
    assert api.label_studio.tasks == {}
    error_of(api.get(f"training-data/{example['id']}/"), 404, "not_found")
    assert api.get("training-data/").json()["count"] == 0
    again = add(api)
    assert again["part"] == example["part"]


def test_api_training_data_leaves_a_task_that_was_there_before(api: Api) -> None:
    """A text that waited for annotators anyway goes on waiting, without what was proposed for it."""
    (task_id,) = api.label_studio.import_tasks(1, [{"data": {"text": TEXT}}])
    mirror(api, task_id)
    example = add(api)
    show(api)
    assert [len(shown.result) for shown in api.label_studio.list_predictions(task_id)] == [1]
    assert api.delete(f"training-data/{example['id']}/").status_code == 204
    assert api.label_studio.list_predictions(task_id) == []
    with api.store.read() as uow:
        (task,) = uow.texts.tasks(1, [task_id])
        assert (task.proposal, task.marks, uow.texts.pushed_task_ids(1, "spanloop-v0")) == (None, "", set())


def test_api_training_data_waits_for_who_is_labelling(sqlite_api: Api) -> None:
    """A task that somebody has begun on is not taken away."""
    example = add(sqlite_api)
    (task_id,) = sqlite_api.label_studio.import_tasks(1, [{"data": {"text": TEXT}}])
    sqlite_api.label_studio.hold_draft(task_id)
    mirror(sqlite_api, task_id)
    error_of(sqlite_api.delete(f"training-data/{example['id']}/"), 409, "conflict")
    assert task_id in sqlite_api.label_studio.tasks


def test_api_training_data_stays_on_a_runs_record(sqlite_api: Api) -> None:
    """An example that a run took in is not taken out of its record."""
    example = add(sqlite_api)
    with sqlite_api.store.write() as uow:
        run: Run = new_run()
        uow.runs.add(run)
        uow.session.flush()
        uow.session.add(Incorporation(run_id=run.id, example_id=example["id"], revision="x", part="train"))
        uow.commit()
    error_of(sqlite_api.delete(f"training-data/{example['id']}/"), 409, "conflict")


def test_api_training_data_is_made_once_even_when_sent_at_once(api: Api) -> None:
    """Of requests with one text that come at the same moment one makes the example, and the others update it."""
    body = {"text": TEXT, "entities": [JOHN]}
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda _: api.post("training-data/", body), range(6)))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1


def test_api_training_data_refuses_bad_entities(sqlite_api: Api) -> None:
    """Entities are held to the same rules as in feedback, when added and when changed."""
    wrong = [{**JOHN, "sublabel": "PASSPORT"}]
    error = error_of(sqlite_api.post("training-data/", {"text": TEXT, "entities": wrong}), 422, "span_invalid")
    assert paths_of(error) == ["entities.0.sublabel"]
    error = error_of(sqlite_api.post("training-data/", {"text": " \n", "entities": []}), 422, "invalid_input")
    assert paths_of(error) == ["text"]
    example = add(sqlite_api)
    error_of(sqlite_api.patch(f"training-data/{example['id']}/", {"entities": wrong}), 422, "span_invalid")
    with sqlite_api.store.read() as uow:
        (row,) = uow.session.query(TrainingDataset).all()
    assert [span["label"] for span in row.entities] == ["PERSON"]


def test_api_training_data_counts_for_the_reviewer_who_verified_it(api: Api) -> None:
    """Label Studio knows the annotation as our own user's; the statistics know whose token it was."""
    example = add(api)
    jane = api.make_token("jane", Role.REVIEWER)
    path = f"training-data/{example['id']}/"
    assert api.call("PATCH", path, token=jane, json={"verified": True}).status_code == 200
    added = api.call("POST", "training-data/", token=jane, json={"text": "new", "entities": [], "verified": True})
    assert added.status_code == 201
    told = api.get("feedback/stats/").json()["top_contributors"]
    assert [(one["username"], one["feedback_count"]) for one in told] == [("jane", 2)]


@pytest.mark.parametrize("way", ["patch", "post"])
def test_api_training_data_is_verified_once_even_when_sent_at_once(api: Api, way: str) -> None:
    """Of reviewers who verify one text at the same moment one makes the annotation, and the others find it made."""
    path = f"training-data/{add(api)['id']}/"
    body = {"text": "new", "entities": [], "verified": True}
    send = {"patch": lambda _: api.patch(path, {"verified": True}), "post": lambda _: api.post("training-data/", body)}
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(send[way], range(4)))
    assert {answer.status_code for answer in answers} <= {200, 201}, [answer.text for answer in answers]
    (task,) = api.label_studio.tasks.values()
    assert len(api.label_studio.find_task(task.id).annotations) == 1
