"""A system in which everything is well, for the doctor to look at once a test has broken something."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rq import Queue, Worker
from rq.serializers import JSONSerializer

from config.settings import Settings
from ml_backend import projects
from ml_backend.bootstrap import Services
from ml_backend.doctor import examine
from ml_backend.queues import QueueName
from sync.checkup import Finding, Level
from tests.fakes.label_studio import FakeLabelStudio
from tests.live.receiver import run_receiver
from training.store.unit_of_work import Store
from training.taxonomy import load_taxonomy, taxonomy_of


class LabelStudioWithClock(FakeLabelStudio):
    """A Label Studio whose clock goes wrong by `skew`."""

    skew = timedelta()

    def clock(self) -> datetime | None:
        self._answer()
        return datetime.now(UTC) + self.skew


@dataclass
class System:
    """A system in which everything is well: store, Redis, workers, web process, Label Studio, one project."""

    services: Services
    fake: LabelStudioWithClock
    store: Store
    project_id: int

    def problems(self, **options: Any) -> list[Finding]:
        """What must be mended."""
        return [finding for finding in examine(self.services, **options) if finding.level is Level.PROBLEM]

    def only_problem(self) -> Finding:
        """The one thing that must be mended, which comes with a remedy."""
        (found,) = self.problems()
        assert found.remedy
        return found

    def change_webhook(self, **changes: Any) -> None:
        """Change the project's webhook as somebody might by hand."""
        ((hook_id, hook),) = self.fake.webhooks.items()
        self.fake.webhooks[hook_id] = replace(hook, **changes)

    def change_backend(self, **changes: Any) -> None:
        """Change the project's backend as somebody might by hand."""
        ((backend_id, backend),) = self.fake.backends.items()
        self.fake.backends[backend_id] = replace(backend, **changes)

    def change_project(self, **changes: Any) -> None:
        """Change the project in Label Studio as somebody might by hand."""
        self.fake.projects[self.project_id] = replace(self.fake.projects[self.project_id], **changes)


@contextmanager
def run_healthy_system(store: Store, redis_url: str, folder: Path) -> Iterator[System]:
    """A healthy system, until the block ends."""
    fake = LabelStudioWithClock()
    with run_receiver() as web:
        settings = Settings(
            data_dir=folder,
            redis_url=redis_url,
            backend_url=web.url,
            backend_password="secret",  # type: ignore[arg-type]
            label_studio_url=fake.url,
            label_studio_api_key="key",  # type: ignore[arg-type]
        )
        services = Services(settings)
        services.__dict__.update(store=store, label_studio=fake)
        workers = [_announce_worker(services, queue) for queue in QueueName]
        plan = projects.plan_project(taxonomy_of(["PERSON"], load_taxonomy(None)), base_model="blank:en")
        project = projects.create(services, "Letters", plan)
        yield System(services, fake, store, project.id)
        for worker in workers:
            worker.register_death()


def _announce_worker(services: Services, queue: QueueName) -> Worker:
    redis = services.doorbell.redis
    worker = Worker([Queue(queue, connection=redis, serializer=JSONSerializer)], connection=redis)
    worker.register_birth()
    return worker
