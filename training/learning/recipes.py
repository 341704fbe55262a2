"""Recipes: spaCy training configs in config/spacy/, completed with what a run knows.

- blank: a small convolutional network, from the project's texts alone.
- warm: the same kind of network, starting from a copy of the base pipeline's embedding layer, with a recognizer of its
  own on top of it that knows the project's labels only.
- finetune: the base pipeline's recognizer, trained on.
- continue: the live version's recognizer, trained on.
- transformer: a pretrained transformer, trained on; needs the extra `transformer`.
"""

from __future__ import annotations

from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from thinc.api import Config

from config.errors import ConfigurationError
from training.prediction.base import find_recognizer, needed_components

RECIPES = ("blank", "warm", "finetune", "continue", "transformer")
AUTO = "auto"
_FILES = {"continue": "finetune"}


def check_recipe(wanted: str) -> str:
    """The name of a recipe, or "auto", as it is. Raises ConfigurationError for an unknown one."""
    if wanted not in (AUTO, *RECIPES):
        raise ConfigurationError(f"there is no recipe {wanted!r}; known are {', '.join((AUTO, *RECIPES))}")
    return wanted


def choose_recipe(wanted: str, base: Any, *, hindrance: str) -> str:
    """The recipe to train by.

    For "auto" that is continue where the live version can be trained on; else finetune for a base with a recognizer,
    and blank for one without. `hindrance` says why the live version cannot be; empty where it can. Raises
    ConfigurationError for an unknown recipe, or one that there are no parts for.
    """
    check_recipe(wanted)
    has_recognizer = find_recognizer(base) is not None
    if wanted == AUTO and not hindrance:
        return "continue"
    if wanted == AUTO:
        return "finetune" if has_recognizer else "blank"
    if wanted == "continue" and hindrance:
        raise ConfigurationError(f"recipe 'continue' trains the live version on, but {hindrance}; take auto")
    if wanted == "transformer" and find_spec("spacy_transformers") is None:
        raise ConfigurationError("recipe 'transformer' needs an extra: install `spanloop[transformer]`, or take auto")
    if wanted in ("warm", "finetune") and not has_recognizer:
        raise ConfigurationError(f"recipe {wanted!r} needs a base model with an entity recognizer; take blank or auto")
    if wanted == "warm" and _is_shared(base):
        raise ConfigurationError("recipe 'warm' needs a recognizer with an embedding layer of its own; take finetune")
    return wanted


def _is_shared(base: Any) -> bool:
    return len(needed_components(base.config)) > 1


def recipe_config(recipe: str, base: Any, folder: Path, *, transformer: str) -> Config:
    """The recipe's config for corpora in `folder` (train.spacy and dev.spacy), where parts of the base are put too.

    The model gets the base's tokenizer as it is now, whatever the recipe. `transformer` is the name or the folder of
    the pretrained one.
    """
    text = files("config").joinpath(f"spacy/{_FILES.get(recipe, recipe)}.cfg").read_text("utf-8")
    config = Config().from_str(text, interpolate=False)
    config["paths"].update(train=str(folder / "train.spacy"), dev=str(folder / "dev.spacy"))
    config["nlp"]["lang"] = base.lang
    # A slim copy of the base: spaCy would load the whole pipeline, several times.
    base.to_disk(folder / "base")
    config["paths"]["base"] = str(folder / "base")
    config["nlp"]["tokenizer"] = base.config["nlp"]["tokenizer"]
    if recipe in ("blank", "transformer"):
        config["initialize"]["before_init"] = _copy_of(folder / "base", "tokenizer")
        if recipe == "transformer":
            config["paths"]["transformer"] = transformer
    elif recipe == "warm":
        _copy_embedding(config, base, folder / "tok2vec.bin")
    return config


def refit_config(folder: Path) -> Config:
    """How a model is trained on, by what lies in all.spacy; dev.spacy only has to be there."""
    config = Config().from_str(files("config").joinpath("spacy/finetune.cfg").read_text("utf-8"), interpolate=False)
    config["paths"].update(train=str(folder / "all.spacy"), dev=str(folder / "dev.spacy"))
    return config


def _copy_of(base: Path, *parts: str) -> dict[str, str]:
    return {"@callbacks": "spacy.copy_from_base_model.v1", **dict.fromkeys(parts, str(base))}


def _copy_embedding(config: Config, base: Any, file: Path) -> None:
    name = needed_components(base.config)[0]
    file.write_bytes(base.get_pipe(name).model.get_ref("tok2vec").to_bytes())
    config["paths"]["init_tok2vec"] = str(file)
    config["components"]["ner"]["model"]["tok2vec"] = base.config["components"][name]["model"]["tok2vec"]


def forget_paths(file: Path) -> None:
    """Take out of a stored model's config what only the machine that trained it has: folders, our logger."""
    config = Config().from_disk(file, interpolate=False)
    if "transformer" in config["paths"]:
        # Weights and tokenizer lie in the model's own files; only a name has to be there.
        config["components"]["transformer"]["model"]["name"] = Path(config["paths"]["transformer"]).name
    config["paths"] = dict.fromkeys(config["paths"])
    config["training"]["logger"] = {"@loggers": "spacy.ConsoleLogger.v1", "progress_bar": False}
    config["initialize"].update(before_init=None, init_tok2vec=None)
    config.pop("pretraining", None)
    config.to_disk(file)
