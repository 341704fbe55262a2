"""One transaction over the repositories; it rolls back unless told to commit."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from training.store.ab_tests import AbTests
from training.store.annotations import Annotations
from training.store.counting import CountingSession
from training.store.database import for_looks
from training.store.doubts import Doubts
from training.store.examples import Examples
from training.store.feedback import FeedbackRows
from training.store.inbox import Inbox
from training.store.models import Models
from training.store.projects import Projects
from training.store.proposals import Proposals
from training.store.queue import Queue
from training.store.runs import Runs
from training.store.schedule import Schedule
from training.store.tallies import Tallies
from training.store.texts import Texts
from training.store.tokens import Answers, Tokens
from training.store.transfers import Transfers


class UnitOfWork:
    """`with UnitOfWork(engine) as uow: …; uow.commit()`. Rows stay readable after the end."""

    session: Session
    projects: Projects
    texts: Texts
    queue: Queue
    proposals: Proposals
    doubts: Doubts
    annotations: Annotations
    feedback: FeedbackRows
    examples: Examples
    runs: Runs
    models: Models
    ab_tests: AbTests
    inbox: Inbox
    schedule: Schedule
    tallies: Tallies
    tokens: Tokens
    answers: Answers
    transfers: Transfers

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __enter__(self) -> Self:
        self.session = CountingSession(self._engine, expire_on_commit=False)
        self.projects = Projects(self.session)
        self.texts = Texts(self.session)
        self.queue = Queue(self.session)
        self.proposals = Proposals(self.session)
        self.doubts = Doubts(self.session)
        self.annotations = Annotations(self.session)
        self.feedback = FeedbackRows(self.session)
        self.examples = Examples(self.session)
        self.runs = Runs(self.session)
        self.models = Models(self.session)
        self.ab_tests = AbTests(self.session)
        self.inbox = Inbox(self.session)
        self.schedule = Schedule(self.session)
        self.tallies = Tallies(self.session)
        self.tokens = Tokens(self.session)
        self.answers = Answers(self.session)
        self.transfers = Transfers(self.session)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.session.close()

    def commit(self) -> None:
        """Make everything since the beginning last."""
        self.session.commit()


class Store:
    """Opens units of work: `store.write()` for a change, `store.read()` for a look."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._for_looks = for_looks(engine)

    def write(self) -> UnitOfWork:
        """A unit of work that may change rows."""
        return UnitOfWork(self.engine)

    def read(self) -> UnitOfWork:
        """A unit of work that only looks; on SQLite it never waits for a writer."""
        return UnitOfWork(self._for_looks)


OpenUnitOfWork = Callable[[], UnitOfWork]
