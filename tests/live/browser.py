"""A headless Chromium with an annotator in front of it, who reads the labelling page and corrects it by mouse.

Test ids and classes are those of Label Studio 1.23.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
MISSING = "no Chromium to test with: `make test-tools` installs one where it can"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Set, it names a folder that takes a picture of each step.
SCREENSHOTS = "TEST_SCREENSHOTS"
PATIENCE_MS = 60_000.0
VIEWPORT: ViewportSize = {"width": 1280, "height": 800}

# Finds the visible text in the text nodes below `root`, and the middle of its first and last character's edge.
FIND_TEXT = """
(root, wanted) => {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  const nodes = [];
  let all = "";
  while (walker.nextNode()) { nodes.push([walker.currentNode, all.length]); all += walker.currentNode.data; }
  const at = all.indexOf(wanted);
  if (at < 0 || all.indexOf(wanted, at + 1) >= 0) return null;
  const box = (place) => {
    const [node, start] = nodes.filter(([, begin]) => begin <= place).at(-1);
    const range = document.createRange();
    range.setStart(node, place - start);
    range.setEnd(node, place - start + 1);
    return range.getBoundingClientRect();
  };
  const first = box(at), last = box(at + wanted.length - 1);
  return [first.left + 0.5, first.top + first.height / 2, last.right - 0.5, last.top + last.height / 2];
}
"""


@dataclass(frozen=True, slots=True)
class ShownRegion:
    """A span as the page shows it: in the text by `start` and `end`, in the list beside it by text, label and score."""

    start: int
    end: int
    label: str
    text: str
    score: float | None = None


def find_chromium() -> Path | None:
    """Chromium's executable, None where none is installed."""
    found = (shutil.which(program) for program in PROGRAMS)
    return next((Path(path) for path in found if path), None)


@contextmanager
def run_browser(program: Path) -> Iterator[Browser]:
    """A headless browser until the end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(program), headless=True, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


class BrowserAnnotator:
    """A person with a login and a mouse."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._page: Page = browser.new_page(viewport=VIEWPORT)
        self._page.set_default_timeout(PATIENCE_MS)
        self._url = url
        self._pictures = 0

    def log_in(self, email: str, password: str) -> None:
        """Log in by the form."""
        self._page.goto(f"{self._url}/user/login/")
        self._page.fill("input[name=email]", email)
        self._page.fill("input[name=password]", password)
        self._page.click("button[type=submit]")
        self._page.wait_for_url(lambda url: "login" not in url)

    def open_labelling(self, project_id: int) -> None:
        """Open the labelling stream of a project by its button, and wait until the next text stands there."""
        self._page.goto(f"{self._url}/projects/{project_id}/data")
        self._page.get_by_role("button", name=re.compile(r"^Label (All|\d+) Tasks?$")).click()
        self._submit_button.wait_for()
        self._text.wait_for()

    def open_labelling_page(self, project_id: int) -> None:
        """Open the labelling page by its address, and wait until a text stands there."""
        self._page.goto(f"{self._url}/projects/{project_id}/data?labeling=1")
        self._submit_button.wait_for()
        self._text.wait_for()

    def rows_of_tab(self, project_id: int, tab_id: int, texts: Sequence[str], *, count: int) -> list[str]:
        """Open a tab of the Data Manager; those of the project's texts that can be read in its rows, from the top down.

        Waits until there are `count`; what begins beyond the page's right edge cannot be read.
        """
        self._page.goto(f"{self._url}/projects/{project_id}/data?tab={tab_id}")
        cells = {text: self._page.get_by_text(text, exact=True).first for text in texts}

        def shown() -> list[str]:
            places = {text: cell.bounding_box() for text, cell in cells.items() if cell.is_visible()}
            seen = (text for text, box in places.items() if box and box["x"] < VIEWPORT["width"])
            return sorted(seen, key=lambda text: places[text]["y"])  # type: ignore[index]

        self._page.get_by_text(re.compile(rf"Tasks:\s*{count}\s*/\s*{len(texts)}")).first.wait_for()
        self._wait(lambda: len(shown()) == count)
        return shown()

    @property
    def task_id(self) -> int:
        """The task on the page."""
        shown = self._page.locator(".lsf-current-task__task-id").inner_text()
        return int(shown.removeprefix("#").split()[0])

    @property
    def text(self) -> str:
        """The text on the page, as it can be read there."""
        return self._text.inner_text()

    @property
    def labels(self) -> list[str]:
        """The labels to choose from."""
        return self._page.locator(".lsf-labels .lsf-label__text").all_inner_texts()

    @property
    def labels_stand_in_text(self) -> bool:
        """Whether each region's label can be read beside it in the text."""
        return self._text.locator(".htx-highlight.htx-no-label").count() == 0

    def regions(self) -> list[ShownRegion]:
        """The regions on the page, in order of the text."""
        listed = [self._read_listed(item) for item in self._page.locator(".lsf-outliner-item").all()]
        marked = [self._read_marked(mark) for mark in self._text.locator(".htx-highlight").all()]
        by_index = {index: (label, text, score) for index, label, text, score in listed}
        return sorted(
            (
                ShownRegion(start, end, *by_index[index])
                for index, start, end in {(index, start, end) for index, start, end in marked}
            ),
            key=lambda region: region.start,
        )

    def wait_for_regions(self, count: int) -> list[ShownRegion]:
        """The regions, once the list beside the text holds so many."""
        expect(self._page.locator(".lsf-outliner-item__title")).to_have_count(count, timeout=PATIENCE_MS)
        return self.regions()

    def draw(self, label: str, words: str, *, by_key: str = "") -> None:
        """Choose a label, by click or by its key, and drag the mouse over the words, which stand once in the text."""
        if by_key:
            self._page.keyboard.press(by_key)
        else:
            self._label(label).click()
        place = self._text.evaluate(FIND_TEXT, words)
        assert place is not None, f"{words!r} does not stand once in the text on the page"
        left, top, right, bottom = place
        mouse = self._page.mouse
        mouse.move(left, top)
        mouse.down()
        mouse.move((left + right) / 2, (top + bottom) / 2, steps=4)
        mouse.move(right, bottom, steps=4)
        mouse.up()
        self._page.keyboard.press("Escape")

    def delete(self, region: ShownRegion) -> None:
        """Take a region off the text."""
        self._select(region)
        self._page.keyboard.press("Backspace")

    def relabel(self, region: ShownRegion, label: str) -> None:
        """Give a region another label."""
        self._select(region)
        self._label(label).click()
        self._page.keyboard.press("Escape")

    def submit(self) -> None:
        """Submit, and wait until the next text stands there, or the stream is at its end."""
        self._leave(self._submit_button)

    def skip(self) -> None:
        """Skip the text, and wait for the next."""
        self._leave(self._page.get_by_test_id("bottombar-skip-button"))

    def take_picture(self, name: str) -> None:
        """Keep a picture of the page, where somebody asked for pictures."""
        folder = os.environ.get(SCREENSHOTS)
        if folder:
            self._pictures += 1
            self._page.screenshot(path=Path(folder) / f"{self._pictures:02d}-{name}.png")

    def close(self) -> None:
        """Leave."""
        self._page.close()

    @property
    def _text(self) -> Locator:
        return self._page.locator(".lsf-htx-richtext")

    @property
    def _submit_button(self) -> Locator:
        return self._page.get_by_test_id("bottombar-submit-button")

    def _label(self, name: str) -> Locator:
        return self._page.locator(".lsf-labels .lsf-label").filter(has_text=re.compile(rf"^{re.escape(name)}"))

    def _select(self, region: ShownRegion) -> None:
        mark = f'.htx-highlight[data-start="{region.start}"][data-end="{region.end}"]'
        self._text.locator(mark).first.click()

    def _leave(self, button: Locator) -> None:
        before = self.task_id
        button.click()
        self._wait(lambda: self._is_past(before))

    def _is_past(self, task_id: int) -> bool:
        if self._page.get_by_text("No More Tasks").count():
            return True
        return self._submit_button.is_visible() and self.task_id != task_id

    def _wait(self, condition: Callable[[], bool]) -> None:
        waited = 0.0
        while not condition():
            assert waited < PATIENCE_MS, "the page did not move on to the next text"
            self._page.wait_for_timeout(100)
            waited += 100

    @staticmethod
    def _read_listed(item: Locator) -> tuple[int, str, str, float | None]:
        index = int(item.locator(".lsf-outliner-item__index").inner_text())
        label = item.locator(".lsf-labels-list .lsf-labels-list").first.inner_text()
        text = item.locator(".lsf-outliner-item__text").inner_text()
        score = re.search(r"\d\.\d+", item.locator(".lsf-outliner-item__controls").inner_text())
        return index, label, text, float(score.group()) if score else None

    @staticmethod
    def _read_marked(mark: Locator) -> tuple[int, int, int]:
        names = ("data-index", "data-start", "data-end")
        index, start, end = (int(mark.get_attribute(name) or -1) for name in names)
        return index, start, end
