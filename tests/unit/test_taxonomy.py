"""The labels of a project: the shipped ones, those of a file, those of data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.errors import NotFound, TaxonomyInvalid
from training.taxonomy import HOTKEYS, Label, Taxonomy, load_taxonomy, taxonomy_of

DEFAULT = load_taxonomy(None)


def load(content: str, monkeypatch: pytest.MonkeyPatch) -> Taxonomy:
    """The taxonomy of a file with this content."""

    def read_text(path: Path, encoding: str) -> str:
        return content

    monkeypatch.setattr(Path, "read_text", read_text)
    return load_taxonomy(Path("labels.yaml"))


def test_taxonomy_default_has_four_groups_with_their_leaves() -> None:
    """The shipped taxonomy holds the groups and leaves that the documentation names."""
    assert {label.group for label in DEFAULT.labels} == {"PII", "PHI", "FINANCIAL", "CREDENTIAL"}
    assert DEFAULT.group_of("SSN") == "PII"
    assert DEFAULT.group_of("MEDICAL_RECORD") == "PHI"
    assert DEFAULT.group_of("IBAN_CODE") == "FINANCIAL"
    assert DEFAULT.group_of("PASSWORD") == "CREDENTIAL"


def test_taxonomy_default_is_complete_for_annotators() -> None:
    """Each shipped leaf has a colour of its own and one sentence; hotkeys are unique."""
    assert len({label.color for label in DEFAULT.labels}) == len(DEFAULT.labels)
    assert all(label.description.endswith(".") for label in DEFAULT.labels)
    hotkeys = [label.hotkey for label in DEFAULT.labels if label.hotkey]
    assert sorted(hotkeys) == sorted(HOTKEYS)


@pytest.mark.parametrize(
    ("name", "leaf"),
    [
        ("SSN", "SSN"),
        ("us_ssn", "SSN"),
        ("PER", "PERSON"),
        ("GPE", "LOCATION"),
        ("fac", "LOCATION"),
        ("ORG", "ORGANIZATION"),
        ("NORP", "NATIONALITY"),
        ("NRP", "NATIONALITY"),
        ("DATE", "DATE_TIME"),
        ("US_BANK_NUMBER", "BANK_ACCOUNT"),
        ("US_DRIVER_LICENSE", "DRIVER_LICENSE"),
        ("US_PASSPORT", "PASSPORT"),
        ("MEDICAL_LICENSE", "MEDICAL_LICENSE"),
        ("ZIP_CODE", "POSTAL_CODE"),
        ("DOMAIN_NAME", "URL"),
        ("CARDINAL", None),
    ],
)
def test_taxonomy_resolves_other_names(name: str, leaf: str | None) -> None:
    """Recognizers' and base models' names lead to the leaf, in any case."""
    assert DEFAULT.resolve(name) == leaf


def test_taxonomy_groups_what_it_does_not_know_as_other() -> None:
    """A leaf outside of the taxonomy belongs to the group OTHER."""
    assert DEFAULT.group_of("MOON") == "OTHER"


def test_taxonomy_survives_its_storage() -> None:
    """A stored taxonomy comes back as it was, without losing what only a file says."""
    assert Taxonomy.from_json(DEFAULT.to_json()) == DEFAULT


def test_taxonomy_file_may_say_as_little_as_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry needs nothing but a name; colours are found for those without."""
    found = load("labels: [{name: A}, {name: B, color: '#ABC', hotkey: 7}]", monkeypatch)
    assert found.names == ("A", "B")
    assert found.labels[1] == Label("B", "OTHER", color="#aabbcc", hotkey="7")
    assert found.labels[0].color not in ("", "#aabbcc")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "must hold one key, labels"),
        ("- A", "must hold one key, labels"),
        ("labels: [", "is not a YAML file"),
        ("labels: []", "holds no label"),
        ("labels: [A]", "entry 1: must be a mapping"),
        ("labels: [{group: PII}]", "entry 1: name must be text"),
        ("labels: [{name: NO}]", "entry 1: name must be text"),
        ("labels: [{name: ' A'}]", "entry 1: name ' A'"),
        ("labels: [{name: A, colour: '#fff'}]", "entry 1: unknown key colour; known are name, group, color"),
        ("labels: [{name: A, color: red}]", "entry 1 (A): color 'red'"),
        ("labels: [{name: A, hotkey: u}]", "entry 1 (A): hotkey 'u'"),
        ("labels: [{name: A, aliases: b}]", "entry 1 (A): aliases must be a list"),
        ("labels: [{name: A, description: 1}]", "entry 1 (A): description"),
        ("labels: [{name: A}, {name: B}, {name: A}]", "entry 3 (A): leaf 'A' is taken by entry 1 (A)"),
        ("labels: [{name: A}, {name: a}]", "entry 2 (a): leaf 'a' is taken by entry 1 (A)"),
        ("labels: [{name: A, hotkey: 1}, {name: B, hotkey: '1'}]", "entry 2 (B): hotkey '1' is taken by entry 1 (A)"),
        ("labels: [{name: A, aliases: [x]}, {name: B, covers: [X]}]", "entry 2 (B): name 'x' is taken by entry 1 (A)"),
        ("labels: [{name: A, aliases: [b]}, {name: B}]", "entry 2 (B): name 'b' is taken by entry 1 (A)"),
    ],
)
def test_taxonomy_file_that_breaks_a_rule_is_refused(content: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong file is refused with its name, the entry and the reason."""
    with pytest.raises(TaxonomyInvalid) as refused:
        load(content, monkeypatch)
    assert refused.value.message.startswith("labels.yaml")
    assert said in refused.value.message


def test_taxonomy_file_that_does_not_exist_is_not_found() -> None:
    """A missing file is named."""
    with pytest.raises(NotFound, match=r"nowhere\.yaml"):
        load_taxonomy(Path("nowhere.yaml"))


def test_taxonomy_of_data_keeps_names_and_takes_over_what_is_known() -> None:
    """Labels keep the names that the data gives them, and still answer to the known ones."""
    found = taxonomy_of(["PER", "LOC", "widget"], DEFAULT)
    assert found.names == ("PER", "LOC", "widget")
    assert found.resolve("PERSON") == "PER"
    assert found.resolve("GPE") == "LOC"
    assert found.resolve("ORG") is None
    assert (found.group_of("PER"), found.group_of("widget")) == ("PII", "OTHER")


def test_taxonomy_of_data_keeps_narrow_and_wide_labels_apart() -> None:
    """A set with both GPE and LOCATION keeps both, and a narrow label does not take over its neighbours."""
    both = taxonomy_of(["GPE", "LOCATION"], DEFAULT)
    assert (both.resolve("GPE"), both.resolve("LOC")) == ("GPE", "LOCATION")
    narrow = taxonomy_of(["GPE"], DEFAULT)
    assert (narrow.resolve("gpe"), narrow.resolve("LOC"), narrow.group_of("GPE")) == ("GPE", None, "PII")


def test_taxonomy_of_data_takes_two_spellings_of_a_label() -> None:
    """Labels that differ in case alone stay two leaves, each found by its own spelling, and can be stored."""
    found = taxonomy_of(["person", "Person", "PERSON"], DEFAULT)
    assert [found.resolve(name) for name in found.names] == list(found.names)
    assert Taxonomy.from_json(found.to_json()) == found


def test_taxonomy_of_data_is_readable_with_sixty_labels() -> None:
    """Up to 60 labels get distinct colours, as many as there are keys get one, and the same labels get the same."""
    names = [f"L{number}" for number in range(60)]
    found = taxonomy_of(names, DEFAULT)
    assert len({label.color for label in found.labels}) == 60
    assert [label.hotkey for label in found.labels if label.hotkey] == list(HOTKEYS)
    assert taxonomy_of(names, DEFAULT) == found


@pytest.mark.parametrize("labels", [[], [""], ["a\nb"], ["x" * 101]])
def test_taxonomy_of_data_refuses_what_is_no_label(labels: list[Any]) -> None:
    """Names that no labelling page could show are refused."""
    with pytest.raises(TaxonomyInvalid, match="the list of labels"):
        taxonomy_of(labels, DEFAULT)
