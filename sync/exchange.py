"""Predictions exchanged in place: a waiting task shows another version's spans under the same name (rule 12).

A prediction is changed, not deleted and made anew: an annotator whose page shows it can still submit. Its score stays,
and with it the task's place in the queue, so that no version gets the easier texts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from config.errors import LabelStudioError, LabelStudioUnavailable
from config.log import get_logger
from sync.client import LabelStudio
from sync.convert import to_regions
from sync.labelling import LabellingConfig, parse_config
from sync.records import StoredTask
from training.spans import Prediction
from training.store.tables.models import MLModel
from training.store.unit_of_work import Store

log = get_logger(__name__)
Clock = Callable[[], datetime]
CHUNK = 25


def exchange_predictions(
    store: Store,
    client: LabelStudio,
    speaker: MLModel,
    predictions: Sequence[tuple[int, str, Prediction]],
    *,
    version: str,
    clock: Clock,
) -> int:
    """Let these tasks (id, text, prediction) show what `speaker` says, under `version`; how many do so now.

    Tasks that somebody has begun on or finished keep what they show, and are left out.
    """
    with store.read() as uow:
        config = parse_config(uow.projects.get(speaker.project_id).label_config)
    done = 0
    for at in range(0, len(predictions), CHUNK):
        chunk = predictions[at : at + CHUNK]
        tasks = {task.id: task for task in client.iter_tasks(speaker.project_id, only_ids=[one[0] for one in chunk])}
        changed = [one for one in chunk if one[0] in tasks and _exchange(client, tasks[one[0]], one, version, config)]
        _note(store, speaker, changed, version=version, now=clock())
        done += len(changed)
    log.info("predictions_exchanged", project_id=speaker.project_id, speaker=speaker.version, tasks=done)
    return done


def _exchange(
    client: LabelStudio, task: StoredTask, one: tuple[int, str, Prediction], version: str, config: LabellingConfig
) -> bool:
    stored = [prediction for prediction in task.predictions if prediction.model_version == version]
    if not stored or task.is_labeled or task.annotations or task.has_draft:
        return False
    _, text, prediction = one
    try:
        for held in stored:
            regions = to_regions(prediction.spans, config, text)
            client.update_prediction(held.id, regions, score=held.score or 0.0, cluster=held.cluster)
    except LabelStudioUnavailable:
        raise
    except LabelStudioError as error:
        log.warning("prediction_not_exchanged", task_id=task.id, reason=error.message)
        return False
    return True


def _note(
    store: Store, speaker: MLModel, changed: Sequence[tuple[int, str, Prediction]], *, version: str, now: datetime
) -> None:
    with store.write() as uow:
        uow.projects.lock(speaker.project_id)
        for task_id, _, prediction in changed:
            noted = uow.ab_tests.pushed(speaker.project_id, task_id, version)
            if noted is not None:
                noted.model_id, noted.pushed_at = speaker.id, now
                noted.spans, noted.score = [span.to_json() for span in prediction.spans], prediction.score
        uow.commit()
