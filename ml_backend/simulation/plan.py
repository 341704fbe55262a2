"""What a simulation is to do."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from config.errors import InvalidInput
from ml_backend.simulation.gold import (
    GoldSet,
    GoldText,
    choose_labels,
    drop_repeated,
    fit_to_labels,
    read_gold,
    refuse_shared_texts,
)
from training.policy import ProjectSettings, parse_settings
from training.prediction.ranking import RANKINGS, Ranking
from training.taxonomy import Taxonomy, load_taxonomy

LONGEST_TITLE = 50  # Label Studio's limit
LARGEST_SEED = 2**32 - 1
# Runs start between two batches, on whole ones: an annotator who submits several texts a second is quiet for two
# seconds only at a batch's end.
QUIET_SECONDS = 2.0


class Strategy(StrEnum):
    """The order in which texts come up."""

    UNCERTAINTY = "uncertainty"
    RANDOM = "random"
    # Without Label Studio only.
    MNLP = "mnlp"
    SPAN = "span"
    ERRORS = "errors"
    MARGIN = "margin"
    COMMITTEE = "committee"
    FULL = "full"

    @property
    def sampling(self) -> str:
        """Label Studio's name for the queue that this strategy uses."""
        return "Uncertainty sampling" if self is Strategy.UNCERTAINTY else "Sequential sampling"

    @property
    def ranking(self) -> Ranking | None:
        """The function that ranks the texts; None for those in random order."""
        return RANKINGS.get(self.value)


LIVE_STRATEGIES = (Strategy.UNCERTAINTY, Strategy.RANDOM)


@dataclass(frozen=True, slots=True)
class SimulationPlan:
    """Everything that is the same for all strategies and seeds."""

    name: str
    pool: GoldSet
    test: GoldSet
    taxonomy: Taxonomy
    budget: int
    batch: int
    language: str
    base_model: str
    strategies: tuple[Strategy, ...]
    seeds: tuple[int, ...]
    notes: tuple[str, ...] = ()
    growth: float = 1.0
    gate: bool = True
    clusters: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)

    def checkpoints(self, strategy: Strategy) -> list[int]:
        """The numbers of annotations after which a run starts, up to the budget; `full` trains once, on everything."""
        if strategy is Strategy.FULL:
            return [len(self.pool.texts)]
        ends = [min(self.batch, self.budget)]
        while ends[-1] < self.budget:
            wanted = ends[-1] + self.batch if self.growth <= 1 else math.ceil(ends[-1] * self.growth)
            ends.append(min(wanted, self.budget))
        return ends

    def runs(self) -> Iterator[tuple[Strategy, int]]:
        """Every strategy with every seed, seed by seed, so that a broken-off simulation can be compared."""
        for seed in self.seeds:
            for strategy in self.strategies:
                yield strategy, seed

    def title(self, strategy: Strategy, seed: int) -> str:
        """The title of the project for one strategy and seed."""
        return f"{self.name} {strategy.value} {seed}"

    def ordered_pool(self, seed: int) -> list[GoldText]:
        """The pool in this seed's order, which is the order of import."""
        texts = list(self.pool.texts)
        random.Random(seed).shuffle(texts)
        return texts

    def project_settings(self, seed: int) -> ProjectSettings:
        """The settings of the projects: a run after each batch, live by itself where its gate lets it."""
        usual = parse_settings({})
        return usual.with_changes(
            retrain_after=self.batch,
            min_samples=min(self.batch, usual.min_samples),
            quiet_seconds=QUIET_SECONDS,
            min_interval_seconds=0,
            auto_promote=True,
            seed=seed,
        ).with_changes(**self.settings)

    def describe(self) -> dict[str, Any]:
        """The plan as it stands in the report."""
        return {
            "pool": str(self.pool.path),
            "pool_texts": len(self.pool.texts),
            "test": str(self.test.path),
            "test_texts": len(self.test.texts),
            "budget": self.budget,
            "batch": self.batch,
            "labels": list(self.taxonomy.names),
            "language": self.language,
            "base_model": self.base_model or None,
            "growth": self.growth,
            "gate": self.gate,
            "clusters": self.clusters,
            "set": dict(self.settings),
            "project_settings": self.project_settings(self.seeds[0]).to_json(),
            "notes": list(self.notes),
        }


def make_plan(
    *,
    name: str,
    pool: Path,
    test: Path,
    labels: Path | None,
    budget: int,
    batch: int,
    strategies: Sequence[str],
    seeds: Sequence[int],
    language: str,
    base_model: str,
    max_text_chars: int,
    growth: float = 1.0,
    gate: bool = True,
    clusters: bool = True,
    settings: Mapping[str, Any] | None = None,
    offline: bool = False,
) -> SimulationPlan:
    """Read and check all that was asked for. Raises InvalidInput or NotFound, before anything is done."""
    if budget < 1 or batch < 1:
        raise InvalidInput(f"budget {budget} and batch {batch} must be 1 or more")
    if not 1 <= growth <= 10:
        raise InvalidInput(f"growth {growth:g} must be from 1 (every batch as large as the first) to 10")
    wanted = read_strategies(strategies, known=tuple(Strategy) if offline else LIVE_STRATEGIES)
    check_seeds(seeds)
    pool_set = drop_repeated(read_gold(pool, max_chars=max_text_chars))
    test_set = read_gold(test, max_chars=max_text_chars)
    refuse_shared_texts(pool_set, test_set)
    taxonomy = choose_labels(pool_set, load_taxonomy(labels) if labels else None, load_taxonomy(None))
    pool_set = fit_to_labels(pool_set, taxonomy, others="left out")
    # What the pool never shows counts as missed; what --labels leaves out was left out on purpose.
    test_set = fit_to_labels(test_set, taxonomy, others="left out" if labels else "kept")
    notes = [*pool_set.notes, *test_set.notes]
    if budget > len(pool_set.texts):
        notes.append(f"the pool holds {len(pool_set.texts)} texts, so the budget of {budget} ends there")
    plan = SimulationPlan(
        name=name.strip(),
        pool=pool_set,
        test=test_set,
        taxonomy=taxonomy,
        budget=min(budget, len(pool_set.texts)),
        batch=batch,
        language=language,
        base_model=base_model,
        strategies=wanted,
        seeds=tuple(seeds),
        notes=tuple(notes),
        growth=growth,
        gate=gate,
        clusters=clusters,
        settings=settings or {},
    )
    plan.project_settings(plan.seeds[0])  # refuses what cannot be set
    if not offline:
        _check_titles(plan)
    return plan


def read_strategies(names: Sequence[str], *, known: Sequence[Strategy] = LIVE_STRATEGIES) -> tuple[Strategy, ...]:
    """The strategies by their names, of those known. Raises InvalidInput."""
    if not names or len(set(names)) < len(names) or not set(names) <= set(known):
        raise InvalidInput(f"strategies {','.join(names)!r} must name some of {', '.join(known)}, each once")
    return tuple(Strategy(name) for name in names)


def check_seeds(seeds: Sequence[int]) -> None:
    """Raise InvalidInput for no seeds, a seed twice or one out of range."""
    if not seeds or len(set(seeds)) < len(seeds) or not all(0 <= seed <= LARGEST_SEED for seed in seeds):
        raise InvalidInput(f"seeds {','.join(map(str, seeds))!r} must be different whole numbers from 0 to 2**32 - 1")


def _check_titles(plan: SimulationPlan) -> None:
    longest = max((plan.title(strategy, seed) for strategy, seed in plan.runs()), key=len)
    # Room for " (99)", where a project of that title exists already.
    if len(longest) + 5 > LONGEST_TITLE or not plan.name:
        raise InvalidInput(
            f"the project title {longest!r} must leave room for a number in Label Studio's {LONGEST_TITLE} "
            "characters, and --project must name it; give a shorter --project"
        )
