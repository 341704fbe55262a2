"""The recipes as plain spaCy configs: they pass spaCy's own check, and spaCy trains them on what an export writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.cli.debug_config import debug_config
from spacy.cli.train import train

from tests.integration.lessons import make_examples
from tests.integration.test_export import export, put_verified
from training.prediction.base import find_base, load_base
from training.store.unit_of_work import Store

RECIPES = Path(__file__).parents[2] / "config" / "spacy"
BRIEF = {"training.max_epochs": 1, "training.eval_frequency": 5}


@pytest.fixture
def paths(sqlite_store: Store, tmp_path: Path) -> dict[str, Any]:
    """An export's files as overrides of a config."""
    gold = {example.text: example.spans for example in make_examples(40, 1)}
    put_verified(sqlite_store, gold, parts=("train", "dev"))
    report = export(sqlite_store, "spacy", tmp_path / "export")
    files = {Path(name).stem: str(report.folder / name) for name in report.files}
    return {"paths.train": files["train"], "paths.dev": files["dev"], **BRIEF}


def base_weights(folder: Path) -> str:
    """The embedding layer of the base model, in a file."""
    file = folder / "weights.bin"
    file.write_bytes(load_base("en_core_web_sm").get_pipe("ner").model.get_ref("tok2vec").to_bytes())
    return str(file)


def check_and_train(recipe: str, overrides: dict[str, Any], folder: Path) -> None:
    """Let spaCy check the recipe's config, train by it, and load what came out."""
    config = RECIPES / f"{recipe}.cfg"
    debug_config(config, overrides=overrides)
    train(config, folder / "model", overrides=overrides)
    trained = spacy.load(folder / "model" / "model-last")
    assert set(trained.get_pipe("ner").labels) >= {"PERSON", "CITY"}


def test_recipe_blank_is_a_plain_spacy_config(paths: dict[str, Any], tmp_path: Path) -> None:
    """From nothing but the exported texts."""
    check_and_train("blank", {**paths, "nlp.lang": "en"}, tmp_path)


def test_recipe_finetune_is_a_plain_spacy_config(paths: dict[str, Any], tmp_path: Path) -> None:
    """From a base pipeline's recognizer."""
    check_and_train("finetune", {**paths, "paths.base": str(find_base("en_core_web_sm"))}, tmp_path)


def test_recipe_warm_is_a_plain_spacy_config(paths: dict[str, Any], tmp_path: Path) -> None:
    """From a base pipeline's embedding layer."""
    base = {"paths.base": str(find_base("en_core_web_sm")), "paths.init_tok2vec": base_weights(tmp_path)}
    check_and_train("warm", {**paths, **base}, tmp_path)
