"""The annotator corrects a page as a person would, and counts what it cost."""

from __future__ import annotations

from typing import Any

from sync.annotator import Annotator, correct_regions, estimate_lead_time
from sync.convert import spans_of, to_regions
from sync.labelling import parse_config
from tests.fakes.label_studio import FakeLabelStudio
from training.spans import ScoredSpan, Span

XML = """<View><Labels name="label" toName="text"><Label value="PERSON"/><Label value="CITY"/></Labels>
<Text name="text" value="$text"/></View>"""
CONFIG = parse_config(XML)
TEXT = "Ada Byron met Bob Smith in London"
ADA, BOB, LONDON = Span(0, 9, "PERSON"), Span(14, 23, "PERSON"), Span(27, 33, "CITY")


def prelabel(*spans: Span) -> list[dict[str, Any]]:
    return to_regions([ScoredSpan(s.start, s.end, s.label, 0.7) for s in spans], CONFIG, TEXT)


def corrected(start: list[dict[str, Any]], *wanted: Span) -> dict[Span, dict[str, Any]]:
    regions = correct_regions(start, wanted, CONFIG, TEXT)
    return {spans_of([region], CONFIG, TEXT).spans[0]: region for region in regions}


def test_what_is_submitted_is_exactly_the_right_spans() -> None:
    """Whatever stood on the page, the regions submitted say the right spans, each once and with its own text."""
    start = prelabel(Span(0, 3, "PERSON"), Span(14, 23, "CITY"), Span(10, 13, "CITY"))
    found = spans_of(correct_regions(start, [LONDON, BOB, ADA, BOB], CONFIG, TEXT), CONFIG, TEXT)
    assert found.spans == (ADA, BOB, LONDON)
    assert found.problems == ()


def test_an_untouched_region_keeps_all_but_its_origin() -> None:
    """A region that was right is submitted as it was shown, as coming from the prediction."""
    start = prelabel(ADA)
    assert corrected(start, ADA)[ADA] == {**start[0], "origin": "prediction"}


def test_a_relabelled_or_moved_region_keeps_its_id() -> None:
    """A region with a new label or new ends is the same region, marked as changed."""
    start = prelabel(Span(0, 9, "CITY"), Span(14, 17, "PERSON"))
    regions = corrected(start, ADA, BOB)
    assert [regions[ADA]["id"], regions[BOB]["id"]] == [start[0]["id"], start[1]["id"]]
    assert {region["origin"] for region in regions.values()} == {"prediction-changed"}
    assert regions[BOB]["value"] == {"start": 14, "end": 23, "text": "Bob Smith", "labels": ["PERSON"]}


def test_a_region_drawn_anew_is_manual() -> None:
    """What the pre-label lacked has an id of its own, no score, and says that a person drew it."""
    region = corrected(prelabel(ADA), ADA, LONDON)[LONDON]
    assert region["origin"] == "manual"
    assert "score" not in region
    assert region["id"] not in {other["id"] for other in prelabel(ADA)}


def test_one_region_never_serves_two_spans() -> None:
    """A long region over two right spans becomes one of them; the other is drawn anew."""
    regions = corrected(prelabel(Span(0, 23, "PERSON")), ADA, BOB)
    assert sorted(region["origin"] for region in regions.values()) == ["manual", "prediction-changed"]


def queue(*results: list[dict[str, Any]] | None) -> tuple[FakeLabelStudio, Annotator]:
    """A project with a task for each of these pre-labels."""
    studio = FakeLabelStudio()
    project = studio.create_project("annotator", XML, show_collab_predictions=True)
    studio.create_backend(project.id, "http://backend.test/p/1", title="v0", user="x", password="y")
    for result in results:
        predictions = [] if result is None else [{"result": result, "score": 0.5, "model_version": "v0"}]
        studio.import_tasks(project.id, [{"data": {"text": TEXT}, "predictions": predictions}])
    return studio, Annotator(studio, project.id, CONFIG)


def test_a_submission_names_the_prelabel_it_started_from() -> None:
    """The annotation carries the id of the prediction that was shown, and a time that somebody may have needed."""
    studio, annotator = queue(prelabel(ADA))
    page = annotator.open_next()
    done = annotator.submit(page, [ADA, BOB])
    stored = studio.find_task(page.task_id).annotations[0]
    assert (stored.parent_prediction, stored.lead_time) == (page.prelabel.id, done.lead_time)
    assert (done.version, done.spans, done.edits, done.accepted) == ("v0", 2, 1, False)
    assert annotator.open_next() is None


def test_a_prelabel_that_was_right_is_accepted() -> None:
    """Leaving every span as shown is accepted without an edit, an empty pre-label of an empty text too."""
    for shown in ((ADA, LONDON), ()):
        _, annotator = queue(prelabel(*shown))
        done = annotator.submit(annotator.open_next(), list(shown))
        assert (done.edits, done.accepted) == (0, True)


def test_without_a_prelabel_nothing_is_accepted_or_refused() -> None:
    """A page without pre-label counts its spans as edits and stays out of the accepted share."""
    studio, annotator = queue(None)
    page = annotator.open_next()
    done = annotator.submit(page, [ADA])
    assert (done.version, done.edits, done.accepted) == (None, 1, None)
    assert studio.find_task(page.task_id).annotations[0].parent_prediction is None


def test_more_work_takes_longer() -> None:
    """The estimated time grows with the text and with the edits."""
    assert estimate_lead_time(TEXT, edits=0) < estimate_lead_time(TEXT * 2, edits=0)
    assert estimate_lead_time(TEXT, edits=0) < estimate_lead_time(TEXT, edits=1)
