"""Projects and contributors."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from config.errors import InvalidInput, NotFound
from training.store.tables.annotations import Contributor
from training.store.tables.projects import Project

NAMED = 20
# Built once: every request and every piece of work asks for its project.
_HELD = (
    select(Project)
    .where(Project.id == bindparam("project_id"), Project.deleted_at.is_(None))
    # Not FOR UPDATE, which would hold up every insert that refers to the project.
    .with_for_update(key_share=True)
    .execution_options(populate_existing=True)
)
_FIRST = select(Project).where(Project.deleted_at.is_(None)).order_by(Project.id).limit(NAMED + 1)


class Projects:
    """The mirrored Label Studio projects."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, project: Project) -> None:
        """Put a new project in."""
        self._session.add(project)
        self._session.flush()

    def find(self, project_id: int) -> Project | None:
        """The project, also a deleted one, or None."""
        return self._session.get(Project, project_id)

    def get(self, project_id: int) -> Project:
        """The project. Raises NotFound where there is none or it was deleted."""
        project = self.find(project_id)
        if project is None or project.deleted_at is not None:
            raise NotFound(f"no project {project_id}; `spanloop project list` shows those there are")
        return project

    def lock(self, project_id: int) -> Project:
        """The project, held until this unit of work ends, so that changes to one project come one after the other."""
        project = self._session.scalar(_HELD, {"project_id": project_id})
        if project is None:
            raise NotFound(f"no project {project_id}; `spanloop project list` shows those there are")
        return project

    def choose(self, project_id: int | None) -> Project:
        """The named project, or the only one there is. Raises NotFound, and InvalidInput where one must be named."""
        if project_id is not None:
            return self.get(project_id)
        found = self._session.scalars(_FIRST).all()
        if not found:
            raise NotFound("there is no project yet; `spanloop project create` makes one")
        if len(found) > 1:
            named = ", ".join(f"{one.id} ({one.title})" for one in found[:NAMED])
            more = " and more" if len(found) > NAMED else ""
            raise InvalidInput(
                f"there are several projects, say which one is meant: {named}{more}",
                problems=[{"path": "project", "message": "must be given where there is more than one project"}],
            )
        return found[0]

    def all(self) -> Sequence[Project]:
        """Every project that was not deleted, by id."""
        return self._session.scalars(select(Project).where(Project.deleted_at.is_(None)).order_by(Project.id)).all()

    def contributor(self, kind: str, external_key: str, username: str) -> Contributor:
        """The contributor known by this key, made at first sight; a new username is taken over."""
        found = self._session.scalar(
            select(Contributor).where(Contributor.kind == kind, Contributor.external_key == external_key)
        )
        if found is None:
            found = Contributor(kind=kind, external_key=external_key, username=username)
            self._session.add(found)
            self._session.flush()
        elif username and found.username != username:
            found.username = username
        return found

    def usernames(self, contributor_ids: Collection[int]) -> dict[int, str]:
        """The names of these contributors, by id."""
        query = select(Contributor.id, Contributor.username).where(Contributor.id.in_(list(contributor_ids)))
        return {row.id: row.username for row in self._session.execute(query)}
