"""Label Studio's labelling config: made from a taxonomy, and read from any project.

The config is XML (https://labelstud.io/tags). It is parsed with the standard library: /setup brings it before every
prediction, and the SDK's parser costs a second and 70 MB in each web process.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config.errors import LabelConfigRefused
from training.taxonomy import Label, Taxonomy

FROM_NAME, TO_NAME, TEXT_KEY = "label", "text", "text"
FILTER_FROM = 10
"""From this many labels on, the page gets a field that filters them."""

WAY_OUT = 'put <Labels name=… toName=…> over one <Text value="$field"> into the project\'s labelling config'


@dataclass(frozen=True, slots=True)
class LabellingConfig:
    """Where a project's spans come from: <Labels from_name> over <Text to_name> that shows the task's `text_key`.

    `elsewhere` names, for each label that stands in a further <Labels> over the same <Text>, that control.
    """

    from_name: str
    to_name: str
    text_key: str
    labels: tuple[str, ...]
    elsewhere: tuple[tuple[str, str], ...] = ()

    @property
    def from_names(self) -> frozenset[str]:
        """Every <Labels> control that spans may come from."""
        return frozenset({self.from_name, *(name for _, name in self.elsewhere)})

    def control_of(self, label: str) -> str:
        """The <Labels> control that offers this label."""
        return dict(self.elsewhere).get(label, self.from_name)


def build_config(taxonomy: Taxonomy) -> str:
    """The labelling config for a taxonomy: one <Labels> over one <Text>, in the taxonomy's order.

    Characters are selected one by one (`granularity="symbol"`): a span may end within what white space calls a word.
    Each label stands beside its span, since nobody tells thirty colours apart. Aliases stay out: Label Studio would
    answer with its `alias` in place of the label.
    """
    view = ET.Element("View")
    ET.SubElement(view, "Header", value="Mark every stretch of text that one of these labels describes")
    if len(taxonomy.labels) >= FILTER_FROM:
        ET.SubElement(
            view, "Filter", name="filter", toName=FROM_NAME, hotkey="shift+f", minlength="0", placeholder="Find a label"
        )
    labels = ET.SubElement(view, "Labels", name=FROM_NAME, toName=TO_NAME, showInline="true")
    for label in taxonomy.labels:
        labels.append(_label_tag(label))
    ET.SubElement(view, "Text", name=TO_NAME, value=f"${TEXT_KEY}", granularity="symbol", showLabels="true")
    ET.indent(view)
    return ET.tostring(view, encoding="unicode")


def _label_tag(label: Label) -> ET.Element:
    tag = ET.Element("Label", value=label.name)
    if label.color:
        tag.set("background", label.color)
    if label.hotkey:
        tag.set("hotkey", label.hotkey)
    if label.description:
        tag.set("hint", label.description)
    return tag


def parse_config(xml: str) -> LabellingConfig:
    """Where a config's spans come from; everything in it but <Labels> over <Text> is ignored.

    Several <Labels> over one <Text> count together; of several texts the first that has <Labels> is used.
    Raises LabelConfigRefused with the reason and the way out.
    """
    root = _parse_xml(xml)
    texts = {name: tag for tag in root.iter("Text") if (name := tag.get("name"))}
    offered: dict[str, list[tuple[str, str]]] = {}
    for control in root.iter("Labels"):
        name = control.get("name")
        for target in (control.get("toName") or "").split(","):
            if name and target in texts:
                offered.setdefault(target, []).extend((label, name) for label in _labels_in(control))
    to_name = next((target for target, labels in offered.items() if labels), None)
    if to_name is None:
        raise LabelConfigRefused(_why_nothing_fits(root))
    text_key = _text_key(texts[to_name])
    control_of: dict[str, str] = {}
    for label, name in offered[to_name]:
        control_of.setdefault(label, name)
    from_name = offered[to_name][0][1]
    elsewhere = tuple((label, name) for label, name in control_of.items() if name != from_name)
    return LabellingConfig(from_name, to_name, text_key, tuple(control_of), elsewhere)


def text_of(data: Mapping[str, Any], text_key: str) -> str | None:
    """The text that a task shows under this key (`a.b` also looks into an object); None where there is none."""
    value: Any = data.get(text_key)
    if value is None and "." in text_key:
        value = data
        for part in text_key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else None


def data_of(text: str, text_key: str) -> dict[str, Any]:
    """The data of a task that shows this text under this key: what `text_of` reads."""
    value: Any = text
    for part in reversed(text_key.split(".")):
        value = {part: value}
    return dict(value)


def _parse_xml(xml: str) -> ET.Element:
    if "<!DOCTYPE" in xml.upper() or "<!ENTITY" in xml.upper():
        raise LabelConfigRefused("the labelling config declares a DOCTYPE or an entity, which none needs; take it out")
    try:
        return ET.fromstring(xml)
    except (ET.ParseError, ValueError) as error:
        raise LabelConfigRefused(f"the labelling config is not XML ({error}); {WAY_OUT}") from error


def _labels_in(control: ET.Element) -> Sequence[str]:
    # Where a <Label> has an alias, Label Studio writes that into the results.
    return [name for tag in control.iter("Label") if (name := tag.get("alias") or tag.get("value"))]


def _text_key(text: ET.Element) -> str:
    value = (text.get("value") or "").strip()
    if text.get("valueType") == "url":
        raise LabelConfigRefused(
            'the config\'s <Text> loads its text from an address (valueType="url"); import the text'
        )
    if not re.fullmatch(r"\$[^\s$]+", value):
        raise LabelConfigRefused(f"the config's <Text> shows {value!r}, which is not one field of the task; {WAY_OUT}")
    return value[1:]


def _why_nothing_fits(root: ET.Element) -> str:
    if not any(tag.get("name") for tag in root.iter("Text")):
        return f"the labelling config has no <Text>, so there is no text to label; {WAY_OUT}"
    if root.find(".//Labels") is None:
        return f"the labelling config has no <Labels>; {WAY_OUT}"
    if any(_labels_in(control) for control in root.iter("Labels")):
        return f"no <Labels> of the labelling config points to a <Text> by its toName; {WAY_OUT}"
    return f"the <Labels> of the labelling config holds no <Label value=…>; {WAY_OUT}"
