"""The Data Manager's tabs, as a person sees them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sync.records import StoredTask
from tests.live.browser import BrowserAnnotator
from tests.live.project import LiveProject
from tests.live.system import RunningSystem
from training.examples.marks import FIELD, Mark, mark_only

# No two alike: near-duplicates are left out of the tab of the most uncertain.
TEXTS = [
    "The first letter lies on the desk.",
    "Carl keeps his badge in a drawer.",
    "Nobody saw who opened the gate.",
    "Lunch was free on Friday again.",
    "Please print the invoice twice.",
    "A red car stood at the corner.",
]


@pytest.fixture
def project(system: RunningSystem, tmp_path: Path) -> LiveProject:
    """A project with six texts, none of which has the honest slice's chance to come up."""
    made = LiveProject.create(system, "Tabs", ("PERSON",), folder=tmp_path, base="blank:en", honest_share=0)
    made.import_texts(TEXTS, folder=tmp_path)
    system.wait_for("the refresh to end", lambda: all(Mark.UNCERTAIN in words(task) for task in made.tasks()))
    return made


def words(task: StoredTask) -> str:
    """What a task's data says of its marks."""
    return str(task.data.get(FIELD, ""))


def test_tabs_filter_and_sort_as_their_names_say(
    system: RunningSystem, project: LiveProject, person: BrowserAnnotator
) -> None:
    """Most uncertain holds what waits, by rank; possible label errors what is in doubt, the worst first."""
    ids = {task.data["text"]: task.id for task in project.tasks()}
    doubted = [TEXTS[4], TEXTS[1]]
    uncertain = [TEXTS[3], TEXTS[0], TEXTS[5], TEXTS[2]]
    with system.store.write() as uow:
        uow.projects.lock(project.id)
        mark_only(uow, project.id, Mark.LABEL_ERROR, [ids[text] for text in doubted], ranked=True)
        mark_only(uow, project.id, Mark.UNCERTAIN, [ids[text] for text in uncertain], ranked=True)
        uow.commit()
    system.label_studio.create_annotation(ids[uncertain[0]], [])

    def are_shown() -> bool:
        by_text = {task.data["text"]: words(task) for task in project.tasks()}
        ranks = [by_text[text] for text in (*doubted, *uncertain)]
        return ranks == [
            "label_error:0001",
            "label_error:0002",
            "",
            "uncertain:0002",
            "uncertain:0003",
            "uncertain:0004",
        ]

    system.wait_for("the marks", are_shown)
    views = {view.title: view.id for view in system.label_studio.list_views(project.id)}

    def rows(title: str, count: int) -> list[str]:
        return person.rows_of_tab(project.id, views[title], TEXTS, count=count)

    assert rows("Possible label errors", 2) == doubted
    assert rows("Most uncertain", 3) == uncertain[1:]
    assert rows("New labels", 0) == []
    assert sorted(rows("All tasks", 6)) == sorted(TEXTS)
