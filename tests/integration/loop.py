"""A project set up between a store and the fake Label Studio, for tests of the flows between them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sync.drain import Drained, DrainPolicy, drain
from sync.receive import Received, receive
from sync.reconcile import Reconciled, reconcile
from sync.records import StoredAnnotation
from sync.setup import Connection, Plan, create_project
from tests.fakes.label_studio import FakeLabelStudio
from tests.integration.rows import LABELS, NOW
from training.policy import parse_settings
from training.prediction.pipeline import PipelineSpec
from training.spans import hash_text, parse_spans
from training.store.tables.annotations import Annotation
from training.store.tables.examples import TrainingDataset
from training.store.tables.inbox import Event, EventStatus
from training.store.tables.projects import Project
from training.store.unit_of_work import Store, UnitOfWork
from training.taxonomy import Label, Taxonomy
from training.versions.registry import register_base

CONNECTION = Connection("http://backend.test:9090/", "spanloop", "secret")
POLICY = DrainPolicy(batch=100, lease=timedelta(seconds=120), attempts=3)
SPEC = PipelineSpec(base="blank:en", language="en", labels=LABELS, label_mapping={})
TEXT = "Ada Byron, 536-22-8726, London"


def plan(*labels: str, **settings: Any) -> Plan:
    """A plan for a project with these labels."""
    leaves = tuple(Label(name=name, group="PII", color="#112233", hotkey=name[0].lower()) for name in labels or LABELS)
    return Plan(Taxonomy(labels=leaves), "en", "blank:en", parse_settings(settings))


def register(uow: UnitOfWork, project: Project) -> None:
    """Register version 0, as the wiring does."""
    register_base(uow, project, SPEC, now=NOW)


def region(text: str, part: str, *labels: str) -> dict[str, Any]:
    """The region over the first place where `part` stands in the text."""
    start = text.index(part)
    value = {"start": start, "end": start + len(part), "text": part, "labels": list(labels)}
    return {"id": f"r{start}", "from_name": "label", "to_name": "text", "type": "labels", "value": value}


def problems_of(annotation: Annotation) -> list[tuple[str, str]]:
    """What is wrong with an annotation's spans, in a fixed order."""
    return sorted((problem["problem"], problem["detail"]) for problem in annotation.problems)


@dataclass
class Loop:
    """A store, a Label Studio, and a project that both know. `now` is the clock."""

    store: Store
    fake: FakeLabelStudio
    project_id: int = 0
    now: datetime = NOW
    requested: list[int] = field(default_factory=list)
    delivered: int = 0

    @classmethod
    def start(cls, store: Store, **settings: Any) -> Loop:
        """Set a project up."""
        loop = cls(store, FakeLabelStudio())
        made = create_project(
            store,
            loop.fake,  # type: ignore[arg-type]
            CONNECTION,
            title="Loop",
            plan=plan(**settings),
            register_base=register,
            now=NOW,
        )
        loop.project_id = made.id
        loop.fake.sent.clear()
        return loop

    def clock(self) -> datetime:
        """The present moment of the test."""
        return self.now

    def add_task(self, text: str = TEXT, *parts: tuple[str, str], **data: Any) -> int:
        """A task, with a prediction of the announced version where spans are named; its webhook is sent."""
        regions = [region(text, part, label) for part, label in parts]
        prediction = {"result": regions, "score": 0.5, "model_version": "spanloop-v0"}
        row = {"data": {"text": text, **data}, "predictions": [prediction] if parts else []}
        return self.fake.import_tasks(self.project_id, [row])[0]

    def annotate(
        self, task_id: int, *parts: tuple[str, str], from_shown: bool = True, **fields: Any
    ) -> StoredAnnotation:
        """Submit these spans for a task, starting from what it shows."""
        text = self.fake.tasks[task_id].data["text"]
        shown = self.fake.list_predictions(task_id)
        if shown and from_shown:
            fields = {"parent_prediction": shown[0].id, **fields}
        return self.fake.create_annotation(task_id, [region(text, part, label) for part, label in parts], **fields)

    def deliver(self, body: dict[str, Any] | None = None, *, times: int = 1) -> list[Received]:
        """Deliver one body, or all that Label Studio has sent since the last time."""
        bodies = [body] if body is not None else self.fake.sent[self.delivered :]
        self.delivered = len(self.fake.sent) if body is None else self.delivered
        return [
            receive(self.store, json.dumps(one, default=str).encode(), self.project_id, now=self.now)
            for one in bodies
            for _ in range(times)
        ]

    def drain(self, token: str = "drain", **changes: Any) -> Drained:
        """Work off one batch."""
        return drain(
            self.store,
            self.fake,  # type: ignore[arg-type]
            policy=changes.get("policy", POLICY),
            token=token,
            clock=self.clock,
            request_training=changes.get("request_training", lambda _, project: self.requested.append(project.id)),
        )

    def sync(self) -> Drained:
        """Deliver everything and work it off."""
        self.deliver()
        return self.drain()

    def reconcile(self, *, full: bool = False) -> Reconciled:
        """Pull."""
        return reconcile(self.store, self.fake, self.project_id, full=full, clock=self.clock)  # type: ignore[arg-type]

    def project(self) -> Project:
        """The project as stored, also a deleted one."""
        with self.store.read() as uow:
            found = uow.projects.find(self.project_id)
        assert found is not None
        return found

    def annotation(self, annotation_id: int) -> Annotation | None:
        """The mirrored annotation."""
        with self.store.read() as uow:
            return uow.annotations.find(self.project_id, annotation_id)

    def example(self, text: str = TEXT) -> TrainingDataset | None:
        """The example of a text."""
        with self.store.read() as uow:
            row = uow.texts.find_text(self.project_id, hash_text(text))
            return uow.examples.of_text(self.project_id, row.id) if row else None

    def events(self, status: EventStatus) -> list[Event]:
        """The inbox's events of a status."""
        with self.store.read() as uow:
            return list(uow.inbox.list(status=status))

    def snapshot(self) -> dict[str, Any]:
        """All that the store says of tasks, annotations, feedback and examples, for comparing two stores."""
        with self.store.read() as uow:
            tasks = {
                i: (t.is_labeled, t.problem, t.deleted_at is not None)
                for i in sorted(self.fake.tasks)
                if (t := uow.texts.find_task(self.project_id, i)) is not None
            }
            standing = sorted(uow.annotations.standing_ids(self.project_id))
            found = [uow.annotations.find(self.project_id, i) for i in standing]
            annotations = [
                (a.id, a.task_id, a.was_cancelled, a.ground_truth, a.revision, a.updated_at, problems_of(a))
                for a in found
                if a is not None
            ]
            feedback = [
                (f.annotation_id, f.is_correct, parse_spans(f.corrected_entities), f.lead_time)
                for f in uow.feedback.of_project(self.project_id)
            ]
            texts = [uow.texts.find_task(self.project_id, i) for i in tasks]
            examples = sorted(
                (e.annotation_id, e.verified, parse_spans(e.entities))
                for t in texts
                if t is not None
                and t.text_id is not None
                and (e := uow.examples.of_text(self.project_id, t.text_id)) is not None
                and e.annotation_id is not None
            )
        return {"tasks": tasks, "annotations": annotations, "feedback": feedback, "examples": examples}
