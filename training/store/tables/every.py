"""Every table at once: `METADATA` is complete, whichever rooms a process has imported."""

from training.store.tables import (
    ab_tests,
    access,
    annotations,
    examples,
    feedback,
    inbox,
    models,
    projects,
    proposals,
    quality,
    queue,
    runs,
    texts,
    transfers,
)
from training.store.tables.base import Base

__all__ = [
    "METADATA",
    "ab_tests",
    "access",
    "annotations",
    "examples",
    "feedback",
    "inbox",
    "models",
    "projects",
    "proposals",
    "quality",
    "queue",
    "runs",
    "texts",
    "transfers",
]

METADATA = Base.metadata
