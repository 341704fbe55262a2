"""The transformer recipe, on a tiny transformer of random weights that is made here. Needs the extra `transformer`."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import pytest

from config.errors import ConfigurationError
from tests.integration.lessons import LABELS, f1_of, ignore, make_examples, plan
from tests.integration.test_recipes import check_and_train, paths
from training.learning.trainer import train_pipeline

__all__ = ["paths"]


@pytest.fixture(scope="module")
def transformer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a transformer of two thin layers, whose word pieces are single characters."""
    pytest.importorskip("spacy_transformers", reason="the extra `transformer` is not installed (make test-transformer)")
    from transformers import BertConfig, BertModel, BertTokenizerFast, set_seed

    folder = tmp_path_factory.mktemp("transformer")
    characters = string.ascii_letters + string.digits + string.punctuation
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters, *(f"##{one}" for one in characters)]
    (folder / "vocab.txt").write_text("\n".join(pieces))
    set_seed(0)
    size = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
    BertModel(BertConfig(vocab_size=len(pieces), **size)).save_pretrained(folder)
    BertTokenizerFast(str(folder / "vocab.txt"), do_lower_case=False).save_pretrained(folder)
    return str(folder)


def test_transformer_trains_and_serves(transformer: str, tmp_path: Path) -> None:
    """The recipe trains a model whose folder is complete: no path of the transformer, and it finds spans."""
    output = tmp_path / "model"
    spec = train_pipeline(
        make_examples(80, 1),
        make_examples(15, 2),
        plan=plan(recipe="transformer", transformer=transformer, max_epochs=6),
        output=output,
        on_progress=ignore,
    )
    assert spec.training["recipe"] == "transformer"
    assert set(spec.label_mapping) <= set(LABELS)
    assert transformer not in (output / "config.cfg").read_text("utf-8")
    Path(transformer, "vocab.txt").rename(tmp_path / "vocab.txt")
    try:
        assert 0.0 <= f1_of(spec, output, make_examples(10, 3)) <= 1.0
    finally:
        (tmp_path / "vocab.txt").rename(Path(transformer, "vocab.txt"))


def test_transformer_recipe_is_a_plain_spacy_config(transformer: str, paths: dict[str, Any], tmp_path: Path) -> None:
    """spaCy checks and trains it on exported texts."""
    check_and_train("transformer", {**paths, "paths.transformer": transformer, "nlp.lang": "en"}, tmp_path)


def test_transformer_without_its_extra_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the extra is not installed, the error names it."""
    monkeypatch.setattr("training.learning.recipes.find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"spanloop\[transformer\]"):
        train_pipeline(
            make_examples(5, 1), [], plan=plan(recipe="transformer"), output=tmp_path / "model", on_progress=ignore
        )
