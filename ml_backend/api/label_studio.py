"""Label Studio for those routes that need it at once."""

from __future__ import annotations

from config.errors import ConfigurationError, LabelStudioError, LabelStudioUnavailable
from ml_backend.bootstrap import Services
from sync.client import LabelStudio

LABEL_STUDIO_ERRORS = (LabelStudioError, LabelStudioUnavailable)


def label_studio_of(services: Services) -> LabelStudio:
    """Label Studio. Raises LabelStudioUnavailable where none is set: no mistake of the caller's."""
    try:
        return services.label_studio
    except ConfigurationError as error:
        raise LabelStudioUnavailable(error.message) from error
