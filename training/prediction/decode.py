"""spaCy's greedy entity decode, with the probability of every step it takes.

The transition parser scores each action (begin, in, last, unit of a label; out) token by token. It is driven here one
token at a time over a whole batch, which yields the same entities as `nlp.pipe` and keeps the scores that `nlp.pipe`
throws away: shown spans and their confidence come from one and the same decode.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from spacy.attrs import IDX, LENGTH

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
SMALLEST = 1e-9


@dataclass(frozen=True, slots=True)
class DecodedEntity:
    """An entity of the greedy decode: tokens, characters, label, and the product of its actions' probabilities."""

    first_token: int
    end_token: int
    start: int
    end: int
    label: str
    probability: float


@dataclass(frozen=True)
class Decoded:
    """What the decode says of one doc: its entities, and for each token the probability that one was missed there.

    `missed` is 0 at tokens inside entities; elsewhere it is the mass of all begin and unit actions of the watched
    labels. `token_starts` and `token_ends` are the tokens' characters.
    """

    entities: tuple[DecodedEntity, ...]
    missed: Floats
    token_starts: Ints
    token_ends: Ints


class ActionTable:
    """Which output column of the model is which action."""

    def __init__(self, names: Sequence[str], *, watched: Collection[str] | None = None) -> None:
        """`watched` are the labels whose missed entities count; None means all."""
        self.width = len(names)
        # "U-" without a label blocks a token; nothing that is predicted here ever takes it.
        self.columns = {name: index for index, name in enumerate(names) if name != "U-"}
        self.begin = self._columns_of("B-")
        self.unit = self._columns_of("U-")
        self.out = self.columns["O"]
        self.labels = frozenset(name[2:] for name in self.columns if name.startswith("U-"))
        self.watched = np.array(
            [
                column
                for name, column in self.columns.items()
                if name[:2] in ("B-", "U-") and (watched is None or name[2:] in watched)
            ],
            dtype=np.int64,
        )

    def _columns_of(self, prefix: str) -> list[int]:
        return [column for name, column in self.columns.items() if name.startswith(prefix)]

    @cached_property
    def starting(self) -> npt.NDArray[np.bool_]:
        """The actions that may follow when no entity is open."""
        mask = np.zeros(self.width, dtype=bool)
        mask[[*self.begin, *self.unit, self.out]] = True
        return mask

    def continuing(self, label: str) -> tuple[int, int]:
        """The columns of the actions in and last of an open entity's label."""
        return self.columns[f"I-{label}"], self.columns[f"L-{label}"]


def table_of(ner: Any, *, watched: Collection[str] | None = None) -> ActionTable:
    """The action table of a spaCy entity recognizer."""
    width = int(ner.moves.n_moves)
    return ActionTable([str(ner.moves.get_class_name(index)) for index in range(width)], watched=watched)


def decode(ner: Any, docs: Sequence[Any], table: ActionTable) -> list[Decoded]:
    """Run the greedy decode over docs that every component before the recognizer has seen, and set `doc.ents`."""
    filled = [doc for doc in docs if len(doc)]
    scores = iter(_score_actions(ner, filled))
    return [_read(doc, next(scores), table) if len(doc) else _nothing() for doc in docs]


def _nothing() -> Decoded:
    return Decoded((), np.zeros(0, np.float32), np.zeros(0, np.int64), np.zeros(0, np.int64))


def _score_actions(ner: Any, docs: Sequence[Any]) -> list[Floats]:
    """Each doc's action scores, one row a token, along the greedy path."""
    if not docs:
        return []
    step = ner.model.predict(docs)
    states = ner.moves.init_batch(docs)
    unfinished, active = list(states), np.arange(len(docs))
    lengths = np.array([len(doc) for doc in docs])
    rows: list[Floats] = []
    owners: list[Ints] = []
    while unfinished:
        scores = np.ascontiguousarray(step.predict(unfinished), dtype=np.float32)
        rows.append(scores)
        owners.append(active)
        unfinished = ner.transition_states(unfinished, scores)
        # Every action consumes one token, so the n-th step has spent the docs of n tokens.
        active = active[lengths[active] > len(rows)]
    step.clear_memory()
    ner.set_annotations(docs, states)
    in_order = np.argsort(np.concatenate(owners), kind="stable")
    flat = np.concatenate(rows)[in_order]
    return np.split(flat, np.cumsum(lengths)[:-1])


def _read(doc: Any, scores: Floats, table: ActionTable) -> Decoded:
    starts, widths = doc.to_array([IDX, LENGTH]).astype(np.int64).T
    opening = _opening_probabilities(scores, table)
    missed = opening[:, table.watched].sum(axis=1) if len(table.watched) else np.zeros(len(doc), np.float32)
    entities = []
    for ent in doc.ents:
        probability = _entity_probability(ent, scores, opening, table)
        entities.append(DecodedEntity(ent.start, ent.end, ent.start_char, ent.end_char, ent.label_, probability))
        missed[ent.start : ent.end] = 0.0
    return Decoded(tuple(entities), np.nan_to_num(missed, nan=1.0), starts, starts + widths)


def _opening_probabilities(scores: Floats, table: ActionTable) -> Floats:
    """Softmax over the actions that are valid where no entity is open; at the last token none can begin."""
    masked = np.where(table.starting, scores, -np.inf)
    masked[-1, table.begin] = -np.inf
    masked -= masked.max(axis=1, keepdims=True)
    powers = np.exp(masked)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)


def _entity_probability(ent: Any, scores: Floats, opening: Floats, table: ActionTable) -> float:
    label, last = ent.label_, ent.end - 1
    if ent.start == last:
        return _sound(float(opening[last, table.columns[f"U-{label}"]]))
    probability = float(opening[ent.start, table.columns[f"B-{label}"]])
    inside, ending = table.continuing(label)
    for token in range(ent.start + 1, ent.end):
        # At a text's last token an open entity can only end, which is then certain.
        if token < len(scores) - 1:
            chosen, other = (ending, inside) if token == last else (inside, ending)
            margin = float(scores[token, other]) - float(scores[token, chosen])
            probability *= 1.0 / (1.0 + float(np.exp(min(margin, 50.0))))
    return _sound(probability)


def _sound(probability: float) -> float:
    return min(max(probability, SMALLEST), 1.0 - SMALLEST) if np.isfinite(probability) else 0.5
