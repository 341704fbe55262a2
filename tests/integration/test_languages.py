"""Projects in other languages than English: version 0, a training, and what is served after it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
import spacy

from tests.integration.lessons import f1_of, ignore
from training.learning.trainer import Example, TrainingPlan, train_pipeline
from training.prediction.pipeline import base_spec, load_pipeline
from training.spans import Span
from training.taxonomy import Label, Taxonomy

LABELS = ("PERSON", "CITY", "EMAIL_ADDRESS")
TAXONOMY = Taxonomy(
    labels=tuple(Label(name=name, group="PII", color="#112233", hotkey=name[0].lower()) for name in LABELS)
)
GERMAN = (
    ("Gestern zog {} nach {} um.", "Jörg Weiß", "Süßenbrunn"),
    ("Bitte fragen Sie {}, ob die Straße in {} gesperrt ist.", "Änne Groß", "Öhringen"),
    ("{} wohnt seit Jahren in {}!", "Ute Schäfer", "Köthen"),
    ("In der Außenstelle von {} war niemand aus {}.", "Götz Bürger", "Überlingen"),
)
MIXED = (
    *GERMAN,
    ("Ayer {} llegó a {} con su familia.", "Íñigo Muñoz", "Logroño"),
    ("Вчера {} переехала в {} навсегда.", "Анна Орлова", "Тверь"),
    ("Hier {} est arrivé à {} sans bagages.", "Zoé Lefèvre", "Orléans"),
)


def make_texts(forms: Sequence[tuple[str, str, str]], count: int, seed: int) -> list[Example]:
    """Texts of one or several languages, names and places of all forms mixed."""
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        form, person, city = chance.choice(forms)[0], chance.choice(forms)[1], chance.choice(forms)[2]
        before, between, after = form.split("{}")
        text = f"{before}{person}{between}{city}{after}"
        start, there = len(before), len(before) + len(person) + len(between)
        made.append(Example(text, (Span(start, start + len(person), "PERSON"), Span(there, there + len(city), "CITY"))))
    return made


@pytest.mark.parametrize(("language", "forms"), [("de", GERMAN), ("xx", MIXED)])
def test_language_trains_and_serves(language: str, forms: Sequence[tuple[str, str, str]], tmp_path: Path) -> None:
    """Version 0 finds what patterns know in any language; a training adds the project's labels, with its tokenizer."""
    base = f"blank:{language}"
    first = base_spec(base, language, TAXONOMY)
    [found] = load_pipeline(first, None).predict(["Grüße an ärger@example.org und info@example.org"])
    assert [(span.label, span.origin) for span in found.spans][-1] == ("EMAIL_ADDRESS", "pattern")
    plan = TrainingPlan(base=base, language=language, labels=LABELS, max_epochs=20)
    spec = train_pipeline(
        make_texts(forms, 90, 1), make_texts(forms, 20, 2), plan=plan, output=tmp_path / "model", on_progress=ignore
    )
    assert spacy.load(tmp_path / "model").lang == language
    assert f1_of(spec, tmp_path / "model", make_texts(forms, 40, 3)) > 0.85
