"""A test's work outside of requests: the challenger speaks for its tasks, or is heard on what was annotated."""

from __future__ import annotations

from config.errors import ModelUnavailable
from config.log import get_logger
from ml_backend.bootstrap import Services, utc_now
from sync.exchange import exchange_predictions
from training.spans import Prediction, with_finite_scores
from training.store.tables.ab_tests import AbTest, ChallengeMode, ShadowPrediction
from training.store.tables.models import MLModel
from training.store.unit_of_work import UnitOfWork
from training.versions import registry
from training.versions.ab_testing import BY_ITSELF, ChallengeState, conclude, end_test, find_exchanges
from training.versions.registry import open_version

log = get_logger(__name__)
AT_A_TIME = 200
"""Tasks that change their speaker, or are heard, in one job: Label Studio takes about 15 a second."""


def needs_tending(uow: UnitOfWork, project_id: int) -> bool:
    """Whether a test is running, or left tasks behind that the live version is to speak for again."""
    if not uow.ab_tests.of_project(project_id):
        return False
    live, project = uow.models.live(project_id), uow.projects.get(project_id)
    if uow.ab_tests.running(project_id) is not None:
        return True
    announced = live is not None and live.id == project.announced_model_id
    return live is not None and announced and uow.ab_tests.is_shared(project_id, live.version, live.id)


def tend_test(services: Services, project_id: int) -> bool:
    """Do what the project's test needs now; whether another version is live after it.

    A challenger that cannot be loaded ends its test, and the live version speaks for all tasks again.
    """
    with services.store.read() as uow:
        test = uow.ab_tests.running(project_id)
        challenger = uow.models.get(test.challenger_id) if test is not None else None
    try:
        if test is not None and challenger is not None and test.mode == ChallengeMode.SHADOW:
            _hear(services, test, challenger)
        _exchange(services, project_id)
    except ModelUnavailable as error:
        if test is None:
            raise
        log.error("challenger_cannot_be_loaded", test_id=test.id, code=error.code, reason=error.message)
        _end(services, test.id, reason=f"the challenger cannot be loaded: {error.message}")
    return _conclude(services, project_id)


def _hear(services: Services, test: AbTest, challenger: MLModel) -> None:
    with services.store.read() as uow:
        waiting = uow.ab_tests.without_shadow(test, limit=AT_A_TIME)
    if not waiting:
        return
    predicted = _predict(services, challenger, [text for _, _, text in waiting])
    rows = [
        ShadowPrediction(
            test_id=test.id,
            task_id=task_id,
            text_id=text_id,
            spans=[span.to_json() for span in prediction.spans],
            predicted_at=utc_now(),
        )
        for (task_id, text_id, _), prediction in zip(waiting, predicted, strict=True)
    ]
    with services.store.write() as uow:
        uow.projects.lock(test.project_id)
        known = {row.task_id for row in uow.ab_tests.shadows(test.id)}
        uow.ab_tests.add_shadows(row for row in rows if row.task_id not in known)
        uow.commit()


def _exchange(services: Services, project_id: int) -> None:
    with services.store.read() as uow:
        live = uow.models.live(project_id)
        wanted = find_exchanges(uow, project_id)
        speakers = {model_id: uow.models.get(model_id) for model_id in wanted}
        some = {model_id: uow.ab_tests.texts_of(project_id, ids[:AT_A_TIME]) for model_id, ids in wanted.items()}
    if live is None:
        return
    limit = services.settings.max_text_chars
    for model_id, texts in some.items():
        readable = {task_id: text for task_id, text in texts.items() if len(text) <= limit}
        if not readable:
            continue
        predicted = _predict(services, speakers[model_id], list(readable.values()))
        rows = [(task_id, text, found) for (task_id, text), found in zip(readable.items(), predicted, strict=True)]
        exchange_predictions(
            services.store, services.label_studio, speakers[model_id], rows, version=live.version, clock=utc_now
        )


def _predict(services: Services, model: MLModel, texts: list[str]) -> list[Prediction]:
    limit = services.settings.max_text_chars
    pipeline = open_version(model, services.artefacts)
    return [with_finite_scores(found) for found in pipeline.predict([text[:limit] for text in texts])]


def _conclude(services: Services, project_id: int) -> bool:
    with services.store.write() as uow:
        uow.projects.lock(project_id)
        state = conclude(uow, project_id)
        if state is None:
            return False
        if state.passed:
            reason = f"passed its {state.test.mode} test against {state.live.version}: {_figures(state)}"
            registry.activate(uow, project_id, state.challenger.id, by=BY_ITSELF, reason=reason, now=utc_now())
        else:
            end_test(uow, state.test, by=BY_ITSELF, reason=f"lost: {_figures(state)}", now=utc_now())
        uow.commit()
    log.info("test_concluded", test_id=state.test.id, project_id=project_id, passed=state.passed)
    return state.passed


def _figures(state: ChallengeState) -> str:
    live, challenger = state.compared.live, state.compared.challenger
    return (
        f"{challenger.acceptance_rate or 0:.0%} of its pre-labels were left as they were in {challenger.texts} texts, "
        f"against {live.acceptance_rate or 0:.0%} in {live.texts}; F1 {challenger.f1:.3f} against {live.f1:.3f}"
    )


def _end(services: Services, test_id: str, *, reason: str) -> None:
    with services.store.write() as uow:
        test = uow.ab_tests.get(test_id)
        uow.projects.lock(test.project_id)
        if test.stopped_at is None:
            end_test(uow, test, by=BY_ITSELF, reason=reason, now=utc_now())
        uow.commit()
