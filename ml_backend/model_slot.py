"""The pipelines a web process serves: loaded aside, tried, swapped by one assignment (rule 11)."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from config.errors import ModelUnavailable, SpanloopError
from config.log import get_logger
from training.prediction.pipeline import Pipeline
from training.spans import Prediction
from training.store.database import StoreFault
from training.store.tables.ab_tests import ChallengeMode
from training.store.tables.models import MLModel
from training.store.unit_of_work import Store
from training.versions.artefacts import ArtefactStore
from training.versions.registry import open_version

log = get_logger(__name__)
TRIAL_TEXTS = ("", "Ms Ada Byron, 12 High Street, called on 1 May.")
RETRY_SECONDS = 30.0


@dataclass
class LoadedModel:
    """A version ready to serve; spaCy pipelines take one caller at a time."""

    model_id: str
    version: str
    pipeline: Pipeline
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """What this version says of the texts, one prediction each, in order."""
        with self._lock:
            return self.pipeline.predict(texts)


class ModelSlots:
    """Holds each project's announced version, its live one as soon as that is known, and a challenger that serves."""

    def __init__(self, store: Store, artefacts: ArtefactStore, *, poll_seconds: float) -> None:
        self._store, self._artefacts, self._poll_seconds = store, artefacts, poll_seconds
        self._loaded: dict[str, LoadedModel] = {}
        self._serving: dict[int, LoadedModel] = {}
        self._failed: dict[str, float] = {}
        self._loading = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="model-slots", daemon=True)

    def start(self) -> None:
        """Begin to look for new versions."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking."""
        self._stop.set()
        self._thread.join(timeout=5)

    def announced(self, project_id: int) -> LoadedModel:
        """The version that Label Studio is told of, or the last one that could be loaded.

        Raises NotFound for an unknown project, ModelUnavailable where no version of it can be loaded.
        """
        wanted = self._find_announced(project_id)
        ready = self._loaded.get(wanted.id) or self._try_to_load(wanted)
        if ready is not None:
            self._serving[project_id] = ready
            return ready
        if project_id in self._serving:
            return self._serving[project_id]
        raise ModelUnavailable(
            f"{wanted.version} of project {project_id} cannot be loaded; see the log of the web process"
        )

    def announced_version(self, project_id: int) -> str:
        """The version that `announced` serves or will serve, without waiting for it to be loaded.

        Label Studio gives /setup 3 seconds, and a pipeline may take longer where the machine is busy.
        Raises NotFound for an unknown project, ModelUnavailable where it has no version.
        """
        wanted = self._find_announced(project_id)
        if wanted.id in self._failed and project_id in self._serving:
            return self._serving[project_id].version
        return wanted.version

    def _find_announced(self, project_id: int) -> MLModel:
        with self._store.read() as uow:
            project = uow.projects.get(project_id)
            live = uow.models.live(project_id)
            wanted = uow.models.get(project.announced_model_id) if project.announced_model_id else live
        if wanted is None:
            raise ModelUnavailable(
                f"project {project_id} has no version yet; run `spanloop project adopt {project_id}`"
            )
        return wanted

    def live(self, project_id: int) -> LoadedModel:
        """The live version as soon as it is loaded; until then the announced one, so that nobody waits for a load.

        Raises NotFound for an unknown project, ModelUnavailable where no version of it can be loaded.
        """
        with self._store.read() as uow:
            live = uow.models.live(project_id)
        ready = self._loaded.get(live.id) if live is not None else None
        return ready or self.announced(project_id)

    def challenger(self, model_id: str) -> LoadedModel | None:
        """A challenger, once it is loaded; nobody waits for it, since the live version can answer too."""
        return self._loaded.get(model_id)

    def look(self) -> None:
        """Load what is wanted and not there, forget what nobody wants; each project is looked at by itself."""
        with self._store.read() as uow:
            projects = uow.projects.all()
            wanted: dict[str, MLModel] = {}
            for project in projects:
                live = uow.models.live(project.id)
                if live is not None:
                    wanted[live.id] = live
                if project.announced_model_id:
                    wanted[project.announced_model_id] = uow.models.get(project.announced_model_id)
                test = uow.ab_tests.running(project.id)
                if test is not None and test.mode == ChallengeMode.AB:
                    wanted[test.challenger_id] = uow.models.get(test.challenger_id)
        for model in wanted.values():
            if model.id not in self._loaded:
                self._try_to_load(model)
        kept = set(wanted) | {loaded.model_id for loaded in self._serving.values()}
        for model_id in set(self._loaded) - kept:
            self._loaded.pop(model_id, None)
        for project in projects:
            announced = self._loaded.get(project.announced_model_id or "")
            if announced is not None:
                self._serving[project.id] = announced

    def _try_to_load(self, model: MLModel) -> LoadedModel | None:
        with self._loading:
            if model.id in self._loaded:
                return self._loaded[model.id]
            if time.monotonic() - self._failed.get(model.id, -RETRY_SECONDS) < RETRY_SECONDS:
                return None
            try:
                loaded = LoadedModel(model.id, model.version, open_version(model, self._artefacts))
                loaded.predict(TRIAL_TEXTS)
            except SpanloopError as error:
                self._note_failure(model, code=error.code, reason=error.message)
                return None
            except Exception as error:  # noqa: BLE001 (the edge of one version: those that are loaded go on serving)
                self._note_failure(model, code="internal", reason=f"{type(error).__name__}: {error}"[:500])
                return None
            self._failed.pop(model.id, None)
            self._loaded[model.id] = loaded
            log.info("version_loaded", project_id=model.project_id, version=model.version)
            return loaded

    def _note_failure(self, model: MLModel, *, code: str, reason: str) -> None:
        self._failed[model.id] = time.monotonic()
        log.error("version_cannot_be_loaded", version=model.version, code=code, reason=reason)

    def _watch(self) -> None:
        while True:
            try:
                self.look()
            except StoreFault as error:
                log.warning("store_unreachable", error=type(error).__name__)
            except Exception as error:  # noqa: BLE001 (the edge of the thread: without it no version would come any more)
                log.error("versions_not_looked_at", error=f"{type(error).__name__}: {error}"[:500])
            if self._stop.wait(self._poll_seconds):
                return
