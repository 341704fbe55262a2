"""Where trained models lie: a local folder, or any place that fsspec reaches (s3://…), for several machines.

A model is a folder of files. Each save gets a place of its own; beside the files stands a manifest with the SHA-256
of each, whose own SHA-256 is the artefact's checksum. A local folder is written aside and renamed, elsewhere the
manifest comes last: what has no manifest was never saved.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec

from config.errors import ArtefactCorrupt, ConfigurationError, NotFound, StorageFailed

MANIFEST = "manifest.json"
ASIDE = ".aside-"
# What a disk says that is full, or that nobody may write to.
STORAGE_FAULTS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO})
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class StoredArtefact:
    """A saved folder: `path` within its store, `checksum` (SHA-256, hex) of its manifest, `size` in bytes."""

    path: str
    checksum: str
    size: int


class ArtefactStore:
    """Saves folders and gives them back verified."""

    def __init__(self, url: str | Path, *, cache_dir: Path | None = None) -> None:
        """`url` is a local folder or an fsspec URL; `cache_dir` holds what was fetched from elsewhere.

        Raises ConfigurationError for a URL that fsspec cannot open.
        """
        try:
            self._fs, root = fsspec.core.url_to_fs(str(url))
        except (ValueError, ImportError, OSError) as error:
            raise ConfigurationError(
                f"artefacts_url {str(url)!r} cannot be opened: {error}; give a folder, or a URL whose fsspec "
                f"package is installed (s3fs for s3://)"
            ) from error
        self._root = str(root).rstrip("/")
        self._local = "file" in _protocols(self._fs)
        self._cache = cache_dir or Path(tempfile.gettempdir()) / "spanloop-models"

    def save(self, directory: Path, name: str) -> StoredArtefact:
        """Store the folder's files, complete or not at all, under a new place that starts with `name`.

        Raises StorageFailed where the place for models is full or cannot be written.
        """
        files = {p.relative_to(directory).as_posix(): p for p in sorted(directory.rglob("*")) if p.is_file()}
        if not files or MANIFEST in files:
            raise NotFound(f"{directory} holds no file to store" if not files else f"{directory} holds a {MANIFEST}")
        manifest = {relative: {"sha256": _hash_file(p)} for relative, p in files.items()}
        content = json.dumps({"files": manifest}, sort_keys=True, indent=1).encode()
        path = f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name).strip('.-') or 'model'}-{uuid.uuid4().hex}"
        try:
            (self._save_locally if self._local else self._upload)(path, files, content)
        except OSError as error:
            raise storage_failed("the place for models", error) from error
        size = sum(p.stat().st_size for p in files.values())
        return StoredArtefact(path, hashlib.sha256(content).hexdigest(), size)

    def fetch(self, path: str, checksum: str, into: Path | None = None) -> Path:
        """The local folder of a stored artefact, each of its files verified.

        A local store gives its own folder unless `into` is set; from elsewhere files are copied into `into`, or once
        into the cache. Raises ArtefactCorrupt where a file is missing or differs.
        """
        place = _checked(path)
        if self._local and into is None:
            folder = Path(self._root) / place
            _verify(folder, _read_manifest(folder, checksum, path), path)
            return folder
        target = into or self._cache / f"{place}-{checksum[:16]}"
        if into is None and _is_sound(target, checksum, path):
            return target
        self._download(place, checksum, target)
        return target

    def delete(self, path: str) -> None:
        """Remove an artefact; one that is gone already is no error."""
        place = _checked(path)
        # The manifest goes first: should the rest be cut short, what is left counts as never saved.
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm(f"{self._root}/{place}/{MANIFEST}")
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm(f"{self._root}/{place}", recursive=True)

    def sweep(self, *, older_than: timedelta) -> None:
        """Delete what saves and fetches that were killed have left, once it is older than this."""
        limit = time.time() - older_than.total_seconds()
        for root in {Path(self._root), self._cache} if self._local else {self._cache}:
            for folder in list(root.glob(f"{ASIDE}*")):
                with contextlib.suppress(FileNotFoundError):
                    if folder.stat().st_mtime < limit:
                        shutil.rmtree(folder, ignore_errors=True)

    def _save_locally(self, path: str, files: Mapping[str, Path], manifest: bytes) -> None:
        root = Path(self._root)
        root.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=ASIDE, dir=root))
        try:
            for relative, source in files.items():
                target = aside / relative
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
                _flush(target)
            (aside / MANIFEST).write_bytes(manifest)
            _flush(aside / MANIFEST)
            aside.chmod(0o755)
            aside.rename(root / path)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _upload(self, path: str, files: Mapping[str, Path], manifest: bytes) -> None:
        for relative, source in files.items():
            target = f"{self._root}/{path}/{relative}"
            self._fs.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
            self._fs.put_file(str(source), target)
        self._fs.pipe_file(f"{self._root}/{path}/{MANIFEST}", manifest)

    def _download(self, place: str, checksum: str, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=ASIDE, dir=target.parent))
        try:
            self._get(f"{place}/{MANIFEST}", aside / MANIFEST, place)
            manifest = _read_manifest(aside, checksum, place)
            for relative in manifest:
                (aside / relative).parent.mkdir(parents=True, exist_ok=True)
                self._get(f"{place}/{relative}", aside / relative, place)
            _verify(aside, manifest, place)
            shutil.rmtree(target, ignore_errors=True)
            _rename(aside, target, checksum)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _get(self, remote: str, local: Path, place: str) -> None:
        try:
            self._fs.get_file(f"{self._root}/{remote}", str(local))
        except FileNotFoundError as error:
            raise ArtefactCorrupt(f"model {place} lacks {remote.removeprefix(place + '/')}; {_WAY_OUT}") from error


def storage_failed(place: str, error: OSError) -> StorageFailed:
    """The named error for a disk that is full or cannot be written."""
    reason = error.strerror or type(error).__name__
    return StorageFailed(f"{place} could not be written ({reason}): make room or give access, and train again")


_WAY_OUT = "train again, or roll back to a version whose files are whole"


def _rename(aside: Path, target: Path, checksum: str) -> None:
    try:
        aside.rename(target)
    except OSError:
        # Another process fetched the same model in the meantime; what it left must be the same.
        if not _is_sound(target, checksum, target.name):
            raise


def _is_sound(folder: Path, checksum: str, path: str) -> bool:
    if not folder.is_dir():
        return False
    try:
        _verify(folder, _read_manifest(folder, checksum, path), path)
    except ArtefactCorrupt:
        return False
    return True


def _read_manifest(folder: Path, checksum: str, path: str) -> dict[str, dict[str, str]]:
    try:
        content = (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise ArtefactCorrupt(f"model {path} has no manifest, so it was never completely saved; {_WAY_OUT}") from error
    if hashlib.sha256(content).hexdigest() != checksum:
        raise ArtefactCorrupt(f"the manifest of model {path} is not the one that was saved; {_WAY_OUT}")
    files: dict[str, dict[str, str]] = json.loads(content)["files"]
    return files


def _verify(folder: Path, manifest: Mapping[str, Mapping[str, str]], path: str) -> None:
    for relative, entry in manifest.items():
        file = folder / relative
        if not file.is_file():
            raise ArtefactCorrupt(f"model {path} lacks {relative}; {_WAY_OUT}")
        if _hash_file(file) != entry["sha256"]:
            raise ArtefactCorrupt(f"{relative} of model {path} does not match its checksum; {_WAY_OUT}")


def _checked(path: str) -> str:
    if PurePosixPath(path).name != path or path in ("", ".", ".."):
        raise NotFound(f"{path!r} is no place of a stored model")
    return path


def _protocols(filesystem: Any) -> tuple[str, ...]:
    protocol = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


def _hash_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
