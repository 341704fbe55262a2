"""Record one real webhook body for each action into tests/payloads/.

Run after a new Label Studio release: `python -m tests.live.record_payloads`. What differs from run to run, and what
is secret, is replaced.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from sync.client import LabelStudio
from tests.live.label_studio import MISSING, REPOSITORY, find_label_studio, run_label_studio
from tests.live.receiver import Receiver, run_receiver

FOLDER = REPOSITORY / "tests" / "payloads"
TEXT = "Ms Ada Byron, 536-22-8726 ☎️"
CONFIG = (
    '<View><Labels name="label" toName="text"><Label value="PERSON"/><Label value="SSN"/></Labels>'
    '<Text name="text" value="$text"/></View>'
)
SECRET = re.compile(r"token|password|login|hash", re.IGNORECASE)


def main() -> None:
    """Start a Label Studio, do each thing once, and keep what it sends."""
    executable = find_label_studio()
    if executable is None:
        sys.exit(MISSING)
    with (
        tempfile.TemporaryDirectory() as folder,
        run_label_studio(executable, Path(folder)) as live,
        run_receiver() as receiver,
    ):
        client = LabelStudio(live.url, live.api_key, timeout=60)
        _play(client, receiver)
        client.close()
    for action in sorted({call.body["action"] for call in receiver.events()}):
        body = _scrub(receiver.events(action)[-1].body)
        path = FOLDER / f"{action.lower()}.json"
        path.write_text(json.dumps(body, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


def _play(client: LabelStudio, receiver: Receiver) -> None:
    project = client.create_project("payloads", CONFIG, show_collab_predictions=True)
    url = f"{receiver.url}/p/{project.id}"
    client.create_webhook(project.id, f"{url}/webhook", headers={})
    backend = client.create_backend(project.id, url, title="v0", user="x", password="y")
    regions = [_region(0, 12, "PERSON"), _region(14, 25, "SSN")]
    predicted = {"result": regions[:1], "score": 0.4, "model_version": "v0"}
    with_prediction = {"data": {"text": TEXT}, "predictions": [predicted]}
    task_id, other_id, _ = client.import_tasks(
        project.id, [with_prediction, {"data": {"text": "Nothing here."}}, with_prediction]
    )
    parent = client.list_predictions(task_id)[0].id
    annotation = client.create_annotation(task_id, regions, parent_prediction=parent, lead_time=7.5)
    client.update_annotation(annotation.id, result=regions[1:], ground_truth=True)
    # The Data Manager's action sends the batched form.
    chosen = {"selectedItems": {"all": True, "excluded": []}, "model_version": "v0"}
    client._transport.request(
        "POST",
        "api/dm/actions/",
        json=chosen,
        params={"id": "predictions_to_annotations", "project": project.id},
    )
    client.delete_annotation(annotation.id)
    client.delete_task(other_id)
    client.update_project(project.id, title="payloads renamed")
    client.start_training(backend.id)
    receiver.wait_for(lambda: receiver.events("START_TRAINING"))


def _region(start: int, end: int, label: str) -> dict[str, Any]:
    value = {"start": start, "end": end, "text": TEXT[start:end], "labels": [label]}
    return {"id": f"region{start}", "from_name": "label", "to_name": "text", "type": "labels", "value": value}


def _scrub(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _scrub(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_scrub(item) for item in value]
    if SECRET.search(name) and value is not None:
        return "scrubbed" if isinstance(value, str) else 0
    if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\dT", value):
        return "2030-01-01T00:00:00.000000Z"
    return value


if __name__ == "__main__":
    main()
