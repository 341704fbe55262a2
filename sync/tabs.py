"""The tabs of a project's Data Manager: a plain first one, and one for each mark that annotators look for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from config.log import get_logger
from sync.client import LabelStudio
from sync.records import View
from training.examples.marks import FIELD, Mark

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Tab:
    """A tab: the tasks that carry a mark, by rank where `ranked`; only unlabelled ones where `waiting`.

    Never ordered by score: such a tab is an error page while there is no task.
    """

    title: str
    mark: Mark
    ranked: bool = False
    waiting: bool = False


HIDDEN = (
    "inner_id",
    "completed_at",
    "cancelled_annotations",
    "total_predictions",
    "annotations_results",
    "annotations_ids",
    "predictions_score",
    "predictions_model_versions",
    "predictions_results",
    "file_upload",
    "storage_filename",
    "created_at",
    "updated_at",
    "updated_by",
    "avg_lead_time",
    "draft_exists",
    f"data.{FIELD}",
)
"""Columns that are left out at first: a tab made by the API shows all there are, and the text last, out of sight."""
HIDDEN_WHILE_LABELLING = ("id", "annotators")
TEXT_WIDTH = 640
PLAIN_TITLE = "All tasks"
TABS = (
    Tab("Most uncertain", Mark.UNCERTAIN, ranked=True, waiting=True),
    Tab("To verify", Mark.TO_VERIFY),
    Tab("Disagreements", Mark.DISAGREEMENT),
    Tab("Possible label errors", Mark.LABEL_ERROR, ranked=True),
    Tab("New labels", Mark.NEW_LABEL),
)
"""In the order in which they stand behind the plain tab."""


def ensure_tabs(client: LabelStudio, project_id: int, *, text_key: str) -> None:
    """Make the tabs that are missing, by title; what people made of a tab stays as it is.

    `text_key` names the tasks' text, which gets most of a tab's width.

    A tab without filter or order comes first: the labelling stream follows the tab it opens from, and one with
    either has neither uncertainty sampling nor locks.
    """
    views = client.list_views(project_id)
    titles = {view.title for view in views}
    plain = next((view for view in views if is_plain(view)), None)
    if plain is None:
        plain = client.create_view(project_id, {"title": PLAIN_TITLE, **_columns(text_key)})
        views.append(plain)
    made = [
        client.create_view(project_id, {**_describe(tab), **_columns(text_key)})
        for tab in TABS
        if tab.title not in titles
    ]
    if made or views[0].id != plain.id:
        others = [view.id for view in views if view.id != plain.id]
        client.order_views(project_id, [plain.id, *others, *(view.id for view in made)])
    if made:
        log.info("tabs_made", project_id=project_id, tabs=len(made))


def is_plain(view: View) -> bool:
    """Whether a tab shows all tasks in no order of its own, so that labelling from it follows the queue."""
    items = (view.data.get("filters") or {}).get("items")
    return not items and not view.data.get("ordering")


def _columns(text_key: str) -> dict[str, Any]:
    """What a tab shows, in the list of tasks and in the one beside an open task."""
    hidden = [f"tasks:{name}" for name in HIDDEN]
    return {
        "hiddenColumns": {
            "explore": hidden,
            "labeling": [*hidden, *(f"tasks:{name}" for name in HIDDEN_WHILE_LABELLING)],
        },
        "columnsWidth": {f"tasks:data.{text_key}": TEXT_WIDTH},
    }


def _describe(tab: Tab) -> dict[str, Any]:
    """The tab as Label Studio's Data Manager keeps it (https://labelstud.io/guide/task_format, api/dm/views)."""
    column = f"filter:tasks:data.{FIELD}"
    items: list[dict[str, Any]] = [
        {"filter": column, "operator": "contains", "type": "String", "value": tab.mark.value}
    ]
    if tab.waiting:
        column = "filter:tasks:total_annotations"
        items.append({"filter": column, "operator": "equal", "type": "Number", "value": 0})
    described: dict[str, Any] = {"title": tab.title, "filters": {"conjunction": "and", "items": items}}
    return {**described, "ordering": [f"tasks:data.{FIELD}"]} if tab.ranked else described
