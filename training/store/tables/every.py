"""Every table at once: `METADATA` is complete, whichever rooms a process has imported."""

from training.store.tables import (
    access,
    annotations,
    examples,
    feedback,
    inbox,
    models,
    projects,
    proposals,
    queue,
    runs,
    texts,
)
from training.store.tables.base import Base

__all__ = [
    "METADATA",
    "access",
    "annotations",
    "examples",
    "feedback",
    "inbox",
    "models",
    "projects",
    "proposals",
    "queue",
    "runs",
    "texts",
]

METADATA = Base.metadata
