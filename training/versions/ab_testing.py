"""A challenger beside the live version: begun, watched and ended; who spoke for a task, and how both fared.

In an A/B test the challenger speaks for a share of the tasks, under the live version's name (rule 12): which tasks is
settled by the test's id and the task's. In a shadow test it speaks to nobody: what it says of a task is worked out once
the task is annotated. Annotators start from the live version's spans there, which favours the live version.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from config.errors import Conflict, InvalidInput, NotFound
from training.honest_slice import in_slice
from training.policy import ProjectSettings, parse_settings
from training.spans import parse_spans
from training.splits import Part
from training.store.tables.ab_tests import AbTest, ChallengeMode
from training.store.tables.annotations import PredictionKind
from training.store.tables.base import new_id
from training.store.tables.feedback import MLClassificationResult
from training.store.tables.models import MLModel
from training.store.tables.texts import TextRow
from training.store.unit_of_work import UnitOfWork
from training.versions.arms import Answer, Arm, ArmsCompared, arm_of, compare_arms

SETTLING = timedelta(seconds=15)
"""After so long every web process has loaded a test's challenger, or the test has ended."""
BY_ITSELF = "ab_test"
"""Who ends a test that nobody ends by hand."""


@dataclass(frozen=True, slots=True)
class ChallengeState:
    """A test with both versions and how they fared; `enough`: each has the texts that the project wants."""

    test: AbTest
    live: MLModel
    challenger: MLModel
    compared: ArmsCompared
    wanted_texts: int

    @property
    def enough(self) -> bool:
        """Whether both versions were met by as many texts as the project wants."""
        return min(self.compared.live.texts, self.compared.challenger.texts) >= self.wanted_texts

    @property
    def passed(self) -> bool:
        """Whether the challenger was met by enough texts and was not worse beyond chance."""
        return self.enough and not self.compared.lost


def start_test(
    uow: UnitOfWork,
    project_id: int,
    challenger: MLModel,
    *,
    mode: ChallengeMode,
    fraction: float,
    by: str,
    promote: bool = False,
    now: datetime,
) -> AbTest:
    """Put a challenger beside the live version; with `promote` it goes live by itself once it has passed.

    Raises Conflict where a test is running or the challenger is live, InvalidInput for a fraction outside 0 to 1.
    """
    uow.projects.lock(project_id)
    live = uow.models.live(project_id)
    if not 0 < fraction < 1:
        raise InvalidInput(f"fraction {fraction:g} leaves one of the versions without tasks; give one between 0 and 1")
    if live is None or challenger.project_id != project_id:
        raise Conflict(f"project {project_id} has no live version that {challenger.version} could be tested against")
    if live.id == challenger.id:
        raise Conflict(f"{challenger.version} is live already; a test needs another version beside it")
    test = AbTest(
        id=new_id(),
        project_id=project_id,
        live_id=live.id,
        challenger_id=challenger.id,
        mode=mode,
        fraction=fraction,
        promote=promote,
        started_by=by,
        started_at=now,
        reason="",
    )
    if not uow.ab_tests.add(test):
        raise Conflict(f"project {project_id} has a running test already; `spanloop models ab stop` ends it")
    uow.models.get(challenger.id).is_active = True
    return test


def stop_test(uow: UnitOfWork, project_id: int, *, by: str, reason: str, now: datetime) -> AbTest:
    """End the running test, with its figures as they stand. Raises NotFound where none is running."""
    uow.projects.lock(project_id)
    test = uow.ab_tests.running(project_id)
    if test is None:
        raise NotFound(f"project {project_id} has no running test; `spanloop models ab start` begins one")
    end_test(uow, test, by=by, reason=reason, now=now)
    return test


def end_test(uow: UnitOfWork, test: AbTest, *, by: str, reason: str, now: datetime) -> None:
    """Note the end of a test: who ended it and why, its figures, and whether the challenger passed."""
    state = read_state(uow, test)
    test.stopped_by, test.stopped_at, test.reason = by, now, reason
    test.figures, test.passed = state.compared.to_json(), state.passed
    if not state.challenger.is_production:
        state.challenger.is_active = False
    uow.session.flush()


def read_state(uow: UnitOfWork, test: AbTest) -> ChallengeState:
    """A test as it stands, from what annotators submitted on either version's spans."""
    settings = parse_settings(uow.projects.get(test.project_id).settings)
    shadow = test.mode == ChallengeMode.SHADOW
    answers = list(_read_shadow_answers(uow, test, settings) if shadow else _read_answers(uow, test, settings))
    compared = compare_arms(answers, paired=shadow, min_texts=settings.ab_min_texts, seed=settings.seed)
    live, challenger = uow.models.get(test.live_id), uow.models.get(test.challenger_id)
    return ChallengeState(test, live, challenger, compared, settings.ab_min_texts)


def _read_answers(uow: UnitOfWork, test: AbTest, settings: ProjectSettings) -> Iterator[Answer]:
    for result, feedback, text in uow.ab_tests.answers(test):
        arm = Arm.CHALLENGER if result.model_id == test.challenger_id else Arm.LIVE
        shown, submitted = parse_spans(result.entities), parse_spans(feedback.corrected_entities)
        yield Answer(text.id, arm, shown, submitted, honest=_is_honest(text, settings))


def _read_shadow_answers(uow: UnitOfWork, test: AbTest, settings: ProjectSettings) -> Iterator[Answer]:
    unseen = {shadow.task_id: parse_spans(shadow.spans) for shadow in uow.ab_tests.shadows(test.id)}
    for result, feedback, text in uow.ab_tests.answers(test):
        submitted, honest = parse_spans(feedback.corrected_entities), _is_honest(text, settings)
        yield Answer(text.id, Arm.LIVE, parse_spans(result.entities), submitted, honest=honest)
        if result.task_id in unseen:
            yield Answer(text.id, Arm.CHALLENGER, unseen[result.task_id], submitted, honest=honest)


def _is_honest(text: TextRow, settings: ProjectSettings) -> bool:
    return in_slice(text.hash, Part(text.part), share=settings.honest_share, seed=settings.seed)


def speaker_of(test: AbTest | None, task_id: int) -> Arm:
    """Who speaks for a task while this test runs; without one, and in a shadow test, the live version."""
    if test is None or test.mode != ChallengeMode.AB:
        return Arm.LIVE
    return arm_of(test.id, task_id, test.fraction)


def note_speaker(uow: UnitOfWork, result: MLClassificationResult, *, submitted_at: datetime, lead_time: float) -> None:
    """Write into a new result in which test it belongs and whose spans an annotator was shown.

    Which arm a task has is worked out anew. An answer belongs to no test where the annotator saw the other version's
    spans: those of before the test, or what was exchanged only after the page had been opened.
    """
    if result.model_id is None or result.task_id is None or result.kind != PredictionKind.MODEL:
        return
    test = uow.ab_tests.at(result.project_id, result.model_id, submitted_at)
    if test is None:
        return
    if speaker_of(test, result.task_id) is Arm.LIVE:
        result.ab_test_id = test.id
        return
    noted = uow.ab_tests.pushed(result.project_id, result.task_id, result.model_version)
    if noted is not None and noted.model_id == test.challenger_id:
        exchanged_in_time = noted.pushed_at.timestamp() <= submitted_at.timestamp() - lead_time
    else:
        # What /predict answered of a task that nothing was pushed for yet, or not that.
        same = noted is not None and set(parse_spans(noted.spans)) == set(parse_spans(result.entities))
        exchanged_in_time = not same and result.created_at >= test.started_at + SETTLING
    if exchanged_in_time:
        speaker = uow.models.get(test.challenger_id)
        # Label Studio knows it under the live version's name; here it counts for who spoke.
        result.ab_test_id, result.model_id, result.model_version = test.id, speaker.id, speaker.version


def lacks_test(uow: UnitOfWork, model: MLModel, settings: ProjectSettings) -> bool:
    """Whether a version still has to pass a test before it may go live without a reason given."""
    if not settings.gate_needs_ab or model.trained_at is None:
        return False
    return not any(_has_passed(uow, test) for test in uow.ab_tests.of_challenger(model.id))


def _has_passed(uow: UnitOfWork, test: AbTest) -> bool:
    return read_state(uow, test).passed if test.stopped_at is None else bool(test.passed)


def find_exchanges(uow: UnitOfWork, project_id: int) -> dict[str, list[int]]:
    """By version id the waiting tasks that it is to speak for, where Label Studio holds another version's spans.

    Nothing while the announced version is not the live one: then everything is about to be pushed anew.
    """
    live, project = uow.models.live(project_id), uow.projects.get(project_id)
    if live is None or project.announced_model_id != live.id:
        return {}
    test = uow.ab_tests.running(project_id)
    wanted: dict[str, list[int]] = {}
    for task_id, model_id in uow.ab_tests.waiting_speakers(project_id, live.version):
        challenged = test is not None and speaker_of(test, task_id) is Arm.CHALLENGER
        speaker = test.challenger_id if test is not None and challenged else live.id
        if speaker != model_id:
            wanted.setdefault(speaker, []).append(task_id)
    return wanted


def conclude(uow: UnitOfWork, project_id: int) -> ChallengeState | None:
    """The running test if it was begun to end by itself and has come to its end."""
    test = uow.ab_tests.running(project_id)
    if test is None or not test.promote:
        return None
    state = read_state(uow, test)
    return state if state.enough else None
