"""Model versions, their activations and metrics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from config.errors import NotFound
from training.store.tables.models import MLModel, ModelActivation, ModelMetric


class Models:
    """The versions of all projects."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, model: MLModel) -> MLModel:
        """Put a new version in."""
        self._session.add(model)
        self._session.flush()
        return model

    def get(self, model_id: str) -> MLModel:
        """The version by its id. Raises NotFound."""
        model = self._session.get(MLModel, model_id)
        if model is None:
            raise NotFound(f"no model {model_id}; `spanloop models list` shows those there are")
        return model

    def find(self, model_id: str) -> MLModel | None:
        """The version by its id, or None."""
        return self._session.get(MLModel, model_id)

    def resolve(self, project_id: int, name: str) -> MLModel:
        """The project's version by id, version string or number. Raises NotFound."""
        for model in self.of_project(project_id):
            if name in (model.id, model.version, str(model.number)):
                return model
        raise NotFound(f"project {project_id} has no model {name!r}; `spanloop models list` shows those there are")

    def by_version(self, project_id: int, version: str) -> MLModel | None:
        """The project's version with this version string."""
        return self._session.scalar(select(MLModel).where(MLModel.project_id == project_id, MLModel.version == version))

    def of_project(self, project_id: int) -> Sequence[MLModel]:
        """The project's versions, newest first."""
        return self._session.scalars(
            select(MLModel).where(MLModel.project_id == project_id).order_by(MLModel.number.desc())
        ).all()

    def live(self, project_id: int) -> MLModel | None:
        """The project's live version."""
        return self._session.scalar(select(MLModel).where(MLModel.project_id == project_id, MLModel.is_production))

    def next_number(self, project_id: int) -> int:
        """The number that the project's next version gets; the first is 0."""
        last = self._session.scalar(select(func.max(MLModel.number)).where(MLModel.project_id == project_id))
        return 0 if last is None else last + 1

    def take_off(self, project_id: int) -> None:
        """Let no version of the project be live."""
        self._session.execute(
            update(MLModel)
            .where(MLModel.project_id == project_id, MLModel.is_production)
            .values(is_production=False, is_active=False)
        )

    def add_activation(self, activation: ModelActivation) -> None:
        """Record a change of the live version."""
        self._session.add(activation)
        self._session.flush()

    def activations(self, project_id: int) -> Sequence[ModelActivation]:
        """The project's changes of the live version, newest first."""
        return self._session.scalars(
            select(ModelActivation).where(ModelActivation.project_id == project_id).order_by(ModelActivation.id.desc())
        ).all()

    def add_metrics(self, metrics: Iterable[ModelMetric]) -> None:
        """Record figures of a version."""
        self._session.add_all(metrics)
        self._session.flush()

    def series(self, project_id: int, name: str, label: str) -> Sequence[tuple[ModelMetric, str]]:
        """One figure of all versions over time, overall (label empty) or of a label, with their version strings."""
        rows = self._session.execute(
            select(ModelMetric, MLModel.version)
            .join(MLModel, ModelMetric.model_id == MLModel.id)
            .where(ModelMetric.project_id == project_id, ModelMetric.name == name, ModelMetric.label == label)
            .order_by(ModelMetric.recorded_at, ModelMetric.id)
        )
        return [(metric, version) for metric, version in rows]

    def metrics_of(self, model_id: str) -> Sequence[ModelMetric]:
        """A version's figures, oldest first."""
        return self._session.scalars(
            select(ModelMetric).where(ModelMetric.model_id == model_id).order_by(ModelMetric.id)
        ).all()
