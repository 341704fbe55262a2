"""The JSON that Label Studio exports (https://labelstud.io/guide/export): full (JSON) and flat (JSON_MIN).

Of a task's annotations the starred one counts, else the newest; skipped ones do not. A task without any is a text
without spans. Regions of other controls than <Labels> are left out, predictions too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import ijson

from config.errors import InvalidInput
from training.formats.rows import RejectedRow, Row, check_meta, check_spans, check_text, refuse, reject

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
DEEPEST_DATA = 5
_FLAT_FIELDS = frozenset({"id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time"})

Json = dict[str, Any]
Quote = tuple[int, int, str]


def read_label_studio_json(file: BinaryIO, max_chars: int) -> Iterator[Row | RejectedRow]:
    """Each task as a text with its spans, numbered from 1, one at a time however large the file.

    Raises InvalidInput where the file holds neither a list of tasks nor one task.
    """
    tasks = ijson.items(file, _find_prefix(file), use_float=True)
    number = 0
    while True:
        number += 1
        try:
            task = next(tasks)
        except StopIteration:
            return
        except (ijson.JSONError, UnicodeDecodeError, ValueError) as error:
            said = error.args[0] if error.args else ""
            said = said.decode(errors="backslashreplace") if isinstance(said, bytes) else str(said)
            reason = " ".join(said.split()[:12])
            yield RejectedRow(number, f"file is not JSON from this task on: {reason}", "")
            return
        yield _read_task(number, task, max_chars)


def _find_prefix(file: BinaryIO) -> str:
    """What ijson calls the tasks: the items of a list, or the whole."""
    mark = len(BYTE_ORDER_MARK) if file.read(len(BYTE_ORDER_MARK)) == BYTE_ORDER_MARK else 0
    file.seek(mark)
    start = file.read(4096).lstrip()[:1]
    file.seek(mark)
    if start not in (b"[", b"{"):
        raise InvalidInput("the file must hold a JSON list of Label Studio's tasks")
    return "item" if start == b"[" else ""


def _read_task(number: int, task: Any, max_chars: int) -> Row | RejectedRow:
    try:
        if not isinstance(task, dict):
            raise refuse("task must be a JSON object", task)
        data, spans, meta = _open_full(task) if isinstance(task.get("data"), dict) else _open_flat(task)
        place, text = _find_text(data, [(s["start"], s["end"], s["text"]) for s in spans or () if _is_quote(s)])
        check_text(text, max_chars=max_chars)
        rest = {name: value for name, value in data.items() if name != place}
        return Row(number, text, check_spans(spans, text), check_meta({**rest, **meta}))
    except InvalidInput as error:
        return reject(number, error)


def _open_full(task: Json) -> tuple[Json, list[Json] | None, Json]:
    """Data, spans and meta of a task as JSON has it; older versions call annotations completions."""
    given = task.get("annotations", task.get("completions")) or []
    meta = task.get("meta") if isinstance(task.get("meta"), dict) else {}
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise refuse("annotations must be a list of objects", given)
    annotations = [one for one in given if not one.get("was_cancelled")]
    if not annotations:
        return task["data"], None, meta or {}
    best = max(annotations, key=lambda a: (bool(a.get("ground_truth")), str(a.get("updated_at", ""))))
    result = best.get("result") or []
    if not isinstance(result, list):
        raise refuse("the annotation's result must be a list", result)
    return task["data"], [span for at, region in enumerate(result) for span in _read_region(at, region)], meta or {}


def _read_region(number: int, region: Any) -> list[Json]:
    if not isinstance(region, dict):
        raise refuse(f"region {number} must be an object", region)
    kind, value = str(region.get("type", "")), region.get("value")
    if not kind.endswith("labels"):
        return []
    if kind != "labels" or not isinstance(value, dict):
        raise refuse(f"region {number} is of type {kind}; only those of type labels lie in a plain text", region)
    return _split_labels(number, value)


def _split_labels(number: int, value: Mapping[str, Any]) -> list[Json]:
    labels = value.get("labels")
    if not isinstance(labels, list) or not labels:
        raise refuse(f"region {number} carries no label", dict(value))
    return [
        {"start": value.get("start"), "end": value.get("end"), "text": value.get("text"), "label": label}
        for label in labels
    ]


def _open_flat(task: Json) -> tuple[Json, list[Json] | None, Json]:
    """The same of a task as JSON_MIN has it: a field for each control beside those of the data."""
    controls = {name: value for name, value in task.items() if _is_control(value)}
    data = {name: value for name, value in task.items() if name not in controls and name not in _FLAT_FIELDS}
    regions = [value for values in controls.values() for value in values]
    if not regions and "annotation_id" not in task:
        return data, None, {}
    return data, [span for at, value in enumerate(regions) for span in _split_labels(at, value)], {}


def _is_control(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) and "labels" in v for v in value)


def _is_quote(span: Json) -> bool:
    return type(span["start"]) is int and type(span["end"]) is int and isinstance(span["text"], str)


def _find_text(data: Json, quotes: Sequence[Quote]) -> tuple[str, str]:
    """Which field of the data is the text: `text`, or the only one, or the only one that the regions quote."""
    found = list(_strings(data))
    fitting = [(p, text) for p, text in found if all(text[start:end] == said for start, end, said in quotes)]
    for candidates in (fitting, found):
        named = [(place, text) for place, text in candidates if place == "text"]
        if named or len(candidates) == 1:
            return (named or candidates)[0]
    if not found:
        raise refuse("the task's data holds no text", data)
    raise refuse(f"any of {', '.join(place for place, _ in found):.100} could be the text; name it text", data)


def _strings(data: Json, place: str = "", depth: int = 1) -> Iterator[tuple[str, str]]:
    """The strings of the data, objects within it included, by the data's own field."""
    for name, value in data.items():
        if isinstance(value, str):
            yield place or name, value
        elif isinstance(value, dict) and depth < DEEPEST_DATA:
            yield from _strings(value, place or name, depth + 1)
