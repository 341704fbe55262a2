"""The one predictor: a spaCy pipeline and pattern recognizers, merged and scored.

`/predict`, evaluation, refresh and simulation all call `Pipeline.predict`: what is shown, measured and ranked comes
from the same decode.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from training.prediction.base import find_recognizer, labels_of, load_base, load_folder
from training.prediction.compose import Evidence, choose, compose, conclude
from training.prediction.decode import ActionTable, Decoded, decode, table_of
from training.prediction.patterns import PatternMatcher, default_pattern_mapping
from training.prediction.ranking import Seen
from training.prediction.scoring import Calibration
from training.prediction.windows import cut_reading_windows, in_portions
from training.spans import Prediction, ScoredSpan
from training.taxonomy import Taxonomy, load_taxonomy, taxonomy_of

# Characters that are decoded at once; bounds the memory of a batch, whatever the texts' lengths.
BATCH_CHARS = 20_000


@dataclass(frozen=True)
class PipelineSpec:
    """All that is needed, beside its files, to serve a model version; stored with it as JSON.

    `base` is what spacy.load takes (it serves as version 0, and is the parent of what is trained), `labels` are the
    project's leaves, `label_mapping` goes from the pipeline's labels to leaves (labels without one are dropped),
    `pattern_mapping` from recognizers' entities to leaves (None: by the names that the default taxonomy knows for
    the leaves), `serving` says for each leaf whether "model", "pattern" or "both" serve it (both unless named), and
    `calibration` holds the parameters of the scores ({}: defaults). `training` says how it was trained.
    """

    base: str
    language: str
    labels: tuple[str, ...]
    label_mapping: dict[str, str]
    serving: dict[str, str] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)
    pattern_mapping: dict[str, str] | None = None
    training: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The spec as stored."""
        return {**asdict(self), "labels": list(self.labels)}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> PipelineSpec:
        """The spec back from what `to_json` gave."""
        return cls(**{**row, "labels": tuple(row["labels"])})


def base_spec(base: str, language: str, taxonomy: Taxonomy) -> PipelineSpec:
    """Version 0 of a project: the base model with its labels mapped to the project's, and the patterns it names.

    Loads the base model at the first call. Raises ModelUnavailable.
    """
    return PipelineSpec(
        base=base,
        language=language,
        labels=taxonomy.names,
        label_mapping=default_label_mapping(base_labels(base), taxonomy),
        pattern_mapping=default_pattern_mapping(language, taxonomy),
    )


@lru_cache(maxsize=32)
def base_labels(base: str) -> tuple[str, ...]:
    """The labels that a base model's recognizer gives; none where it has no recognizer. Raises ModelUnavailable."""
    return labels_of(load_base(base))


def default_label_mapping(pipeline_labels: Iterable[str], taxonomy: Taxonomy) -> dict[str, str]:
    """Which label of the pipeline is which leaf: by the leaf's name or one of its other names; others are left out."""
    leaves = {label: taxonomy.resolve(label) for label in sorted(set(pipeline_labels))}
    return {label: leaf for label, leaf in leaves.items() if leaf is not None}


def known_names(labels: Sequence[str]) -> Taxonomy:
    """The leaves with the other names that the default taxonomy knows for them."""
    return taxonomy_of(labels, load_taxonomy(None))


def load_pipeline(spec: PipelineSpec, model_dir: Path | None) -> Pipeline:
    """The pipeline of a version: the trained files in `model_dir`, or the base model where there are none (version 0).

    Raises ModelUnavailable, with the way out.
    """
    nlp = load_base(spec.base) if model_dir is None else load_folder(model_dir)
    return Pipeline(spec, nlp)


@dataclass(frozen=True, slots=True)
class _Window:
    """What is read at once: a piece of the text from `offset` on, to say what begins from `start` to `end`."""

    text: int
    start: int
    end: int
    offset: int
    piece: str

    def holds(self, start: int) -> bool:
        """Whether what begins there in the text is this window's to say."""
        return self.start <= start < self.end


class Pipeline:
    """Predicts entity spans of texts. Safe to call from several threads, which take turns."""

    def __init__(self, spec: PipelineSpec, nlp: Any) -> None:
        self.spec = spec
        self.nlp = nlp
        self._recognizer = find_recognizer(nlp)
        self._before = [pipe for name, pipe in nlp.pipeline if pipe is not self._recognizer and name in nlp.pipe_names]
        leaves = set(spec.labels)
        self._leaf_of = {label: leaf for label, leaf in spec.label_mapping.items() if leaf in leaves}
        self._table: ActionTable | None = (
            table_of(self._recognizer, watched=set(self._leaf_of)) if self._recognizer else None
        )
        mapping = spec.pattern_mapping
        if mapping is None:
            mapping = default_pattern_mapping(spec.language, known_names(spec.labels)) if spec.labels else {}
        self._patterns = PatternMatcher(spec.language, {e: leaf for e, leaf in mapping.items() if leaf in leaves})
        self._calibration = Calibration.from_json(spec.calibration)
        self._turn = threading.Lock()

    @property
    def pattern_leaves(self) -> frozenset[str]:
        """The leaves that a pattern recognizer finds."""
        return self._patterns.leaves

    def find_patterns(self, text: str) -> tuple[ScoredSpan, ...]:
        """What the patterns alone say of a text, with their own scores."""
        return self._patterns.find(text)

    def predict(self, texts: Sequence[str], *, batch_size: int = 64) -> list[Prediction]:
        """A prediction for each text, in order; spans never overlap and lie within their text, white space trimmed.

        `batch_size` is the number of windows decoded at once. Empty texts give no spans; long ones are cut into
        windows, decoded in bounded memory and joined again.
        """
        return [
            compose(evidence, serving=self.spec.serving, calibration=self._calibration)
            for evidence in self.gather(texts, batch_size=batch_size)
        ]

    def look(self, texts: Sequence[str], *, committee: Sequence[Pipeline] = ()) -> list[Seen]:
        """Each text with all that a ranking function may ask for; `committee` are other versions of the pipeline."""
        said = [member.predict(texts) for member in committee]
        return [
            Seen(evidence, choice, conclude(choice, self._calibration), tuple(one[number] for one in said))
            for number, evidence in enumerate(self.gather(texts))
            for choice in [choose(evidence, serving=self.spec.serving, calibration=self._calibration)]
        ]

    def gather(self, texts: Sequence[str], *, batch_size: int = 64) -> list[Evidence]:
        """What model and patterns say of each text, before anything is chosen or calibrated."""
        windows = [
            _Window(number, cut.start, cut.end, cut.read_from, text[cut.read_from : cut.read_to])
            for number, text in enumerate(texts)
            for cut in cut_reading_windows(text)
        ]
        parts: list[list[Evidence]] = [[] for _ in texts]
        with self._turn:
            found = dict(self._decode_all(windows, batch_size=batch_size))
        for window in windows:
            parts[window.text].append(self._evidence(window, found.get((window.text, window.start))))
        return [_join(text_parts) for text_parts in parts]

    def _decode_all(self, windows: Sequence[_Window], *, batch_size: int) -> Iterator[tuple[tuple[int, int], Decoded]]:
        if self._recognizer is None or self._table is None:
            return
        by_length = sorted(windows, key=lambda window: len(window.piece))
        for batch in in_portions(by_length, lambda window: window.piece, most=batch_size, chars=BATCH_CHARS):
            # What spaCy learns of new words while it reads them is forgotten again, or a server's memory would grow.
            with self.nlp.memory_zone():
                docs = [self.nlp.make_doc(window.piece) for window in batch]
                for pipe in self._before:
                    docs = list(pipe.pipe(docs, batch_size=batch_size))
                decoded = decode(self._recognizer, docs, self._table)
                del docs
            yield from (((w.text, w.start), d) for w, d in zip(batch, decoded, strict=True))

    def _evidence(self, window: _Window, decoded: Decoded | None) -> Evidence:
        shift = window.offset
        patterns = tuple(
            ScoredSpan(s.start + shift, s.end + shift, s.label, s.score, s.origin)
            for s in self._patterns.find(window.piece)
            if window.holds(s.start + shift)
        )
        if decoded is None:
            nothing = np.zeros(0, np.int64)
            return Evidence((), patterns, np.zeros(0, np.float32), nothing, nothing, blind=True)
        model = tuple(self._model_spans(window, decoded))
        starts, ends = decoded.token_starts + shift, decoded.token_ends + shift
        own = (starts >= window.start) & (starts < window.end)
        return Evidence(model, patterns, decoded.missed[own], starts[own], ends[own], blind=False)

    def _model_spans(self, window: _Window, decoded: Decoded) -> Iterator[ScoredSpan]:
        for entity in decoded.entities:
            leaf = self._leaf_of.get(entity.label)
            piece = window.piece[entity.start : entity.end]
            if leaf is None or not piece.strip():
                continue
            start = window.offset + entity.start + len(piece) - len(piece.lstrip())
            if window.holds(start):
                yield ScoredSpan(start, start + len(piece.strip()), leaf, entity.probability, "model")


def _join(parts: Sequence[Evidence]) -> Evidence:
    if len(parts) == 1:
        return parts[0]
    return Evidence(
        model=tuple(span for part in parts for span in part.model),
        patterns=tuple(span for part in parts for span in part.patterns),
        missed=np.concatenate([part.missed for part in parts]),
        token_starts=np.concatenate([part.token_starts for part in parts]),
        token_ends=np.concatenate([part.token_ends for part in parts]),
        blind=all(part.blind for part in parts),
    )
