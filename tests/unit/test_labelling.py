"""Labelling configs, made and read."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from config.errors import LabelConfigRefused
from sync.labelling import FILTER_FROM, LabellingConfig, build_config, parse_config, text_of
from training.taxonomy import Label, Taxonomy, load_taxonomy

PLAIN = (
    '<View><Labels name="l" toName="t"><Label value="A"/><Label value="B"/></Labels>'
    '<Text name="t" value="$text"/></View>'
)


def test_build_config_gives_back_its_taxonomy() -> None:
    """A config made from the shipped taxonomy offers its leaves, in its order, over the task's text."""
    taxonomy = load_taxonomy(None)
    assert parse_config(build_config(taxonomy)) == LabellingConfig("label", "text", "text", tuple(taxonomy.names))


def test_build_config_keeps_colour_and_hotkey_and_never_an_alias() -> None:
    """Colour, hotkey and description reach the page; aliases stay with us."""
    label = Label(name="SSN", group="PII", color="#ff0000", hotkey="s", description="a number", aliases=("US_SSN",))
    xml = build_config(Taxonomy(labels=(label,)))
    tag = ET.fromstring(xml).find(".//Label")
    assert tag is not None
    assert tag.attrib == {"value": "SSN", "background": "#ff0000", "hotkey": "s", "hint": "a number"}
    assert "US_SSN" not in xml


def test_build_config_shows_labels_in_the_text() -> None:
    """Each span's label stands beside it, and a span may begin and end at any character."""
    tag = ET.fromstring(build_config(load_taxonomy(None))).find(".//Text")
    assert tag is not None
    assert (tag.get("showLabels"), tag.get("granularity")) == ("true", "symbol")


def test_build_config_escapes_what_xml_would_misread() -> None:
    """A label name or a description may hold any character."""
    name = 'R&D "<x>" ü'
    assert parse_config(build_config(Taxonomy(labels=(Label(name=name, group="OTHER"),)))).labels == (name,)


@pytest.mark.parametrize(("count", "filtered"), [(FILTER_FROM - 1, False), (FILTER_FROM, True)])
def test_build_config_filters_many_labels(count: int, filtered: bool) -> None:
    """From ten labels on the page offers a field to find one."""
    taxonomy = Taxonomy(labels=tuple(Label(name=f"L{i}", group="OTHER") for i in range(count)))
    assert ("<Filter" in build_config(taxonomy)) is filtered


def test_parse_config_reads_names_key_and_labels() -> None:
    """What the config calls its controls and its field is what spans are read and written with."""
    assert parse_config(PLAIN) == LabellingConfig("l", "t", "text", ("A", "B"))


def test_parse_config_ignores_other_controls() -> None:
    """Choices, ratings and labels over images stand beside, and change nothing."""
    xml = (
        '<View><Header value="x"/><Choices name="c" toName="t"><Choice value="yes"/></Choices>'
        '<RectangleLabels name="r" toName="i"><Label value="CAR"/></RectangleLabels><Image name="i" value="$image"/>'
        '<Labels name="p" toName="para"><Label value="P"/></Labels><Paragraphs name="para" value="$dialogue"/>'
        '<View><Labels name="l" toName="t"><View><Label value="A"/></View></Labels></View>'
        '<Text name="t" value=" $body.text "/></View>'
    )
    assert parse_config(xml) == LabellingConfig("l", "t", "body.text", ("A",))


def test_parse_config_joins_several_labels_over_one_text() -> None:
    """Several <Labels> over the text count together, and each label keeps its control."""
    xml = (
        '<View><Labels name="x" toName="t"><Label value="A"/></Labels>'
        '<Labels name="y" toName="t"><Label value="B"/><Label value="A"/></Labels><Text name="t" value="$text"/></View>'
    )
    config = parse_config(xml)
    assert config.labels == ("A", "B")
    assert (config.control_of("A"), config.control_of("B")) == ("x", "y")
    assert config.from_names == {"x", "y"}


def test_parse_config_takes_the_alias_that_results_carry() -> None:
    """In a foreign config with aliases, the alias is the label, since Label Studio writes it into results."""
    xml = PLAIN.replace('value="A"', 'value="A" alias="first"')
    assert parse_config(xml).labels == ("first", "B")


@pytest.mark.parametrize(
    ("xml", "reason"),
    [
        ("", "not XML"),
        ("<View>", "not XML"),
        ("<View/>", "no <Text>"),
        ('<View><Image name="i" value="$image"/></View>', "no <Text>"),
        ('<View><Text name="t" value="$text"/></View>', "no <Labels>"),
        (PLAIN.replace('toName="t"', 'toName="other"'), "points to a <Text>"),
        ('<View><Labels name="l" toName="t"/><Text name="t" value="$text"/></View>', "no <Label"),
        (PLAIN.replace("$text", "text"), "not one field"),
        (PLAIN.replace("$text", "Dear $name"), "not one field"),
        (PLAIN.replace(' value="$text"', ""), "not one field"),
        (PLAIN.replace('value="$text"', 'value="$text" valueType="url"'), "address"),
        ('<!DOCTYPE x [<!ENTITY a "b">]>' + PLAIN, "DOCTYPE"),
    ],
)
def test_parse_config_refuses_with_reason_and_way_out(xml: str, reason: str) -> None:
    """A config that spans cannot come from is refused, with what is wrong and what to do."""
    with pytest.raises(LabelConfigRefused) as refusal:
        parse_config(xml)
    assert reason in refusal.value.message


def test_text_of_finds_the_text_a_task_shows() -> None:
    """A key finds its field, a dotted one looks inside, and anything but a text is none."""
    assert text_of({"text": "x"}, "text") == "x"
    assert text_of({"body": {"text": "x"}}, "body.text") == "x"
    assert text_of({"body.text": "y", "body": {"text": "x"}}, "body.text") == "y"
    assert text_of({"text": ""}, "text") == ""
    for data in ({}, {"text": None}, {"text": 5}, {"text": ["x"]}, {"other": "x"}):
        assert text_of(data, "text") is None
    assert text_of({"body": "x"}, "body.text") is None
