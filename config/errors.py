"""Every error that spanloop announces, in one tree.

SpanloopError
├── ConfigurationError        settings, files or programs that are missing or wrong
├── InvalidInput              what was handed in cannot be used as it is
│   ├── MalformedBody         a body that is not the JSON it says it is
│   ├── UnsupportedMediaType  a body of a type that the route does not read
│   ├── LabelConfigRefused    a labelling config without <Labels> over <Text>
│   ├── TaxonomyInvalid       a taxonomy file that breaks its rules
│   └── SpanInvalid           a span that its text or its project cannot hold
├── NotFound                  the named project, run, model or file does not exist
├── Conflict                  the state of things forbids it
│   └── GateRefused           the candidate failed its gate and no reason was given to override it
├── Unauthorized              no credential, or a wrong one
├── Forbidden                 the credential's role may not do this
├── MethodNotAllowed          the route is there, for other methods
├── TooManyRequests           the token's rate limit is used up
├── PayloadTooLarge           a body over the size limit
├── LabelStudioError          Label Studio refused what was asked
│   └── LabelStudioUnavailable  Label Studio cannot be reached or does not answer
├── StoreUnavailable          the database is not there, cannot be reached, or is older than this version
├── RedisUnavailable          Redis cannot be reached
├── ModelUnavailable          a pipeline cannot be loaded
│   └── ArtefactCorrupt       stored files do not match their checksums
├── WaitedTooLong             what was waited for did not happen in time
└── RunError                  a training run ended without a model
    ├── NotEnoughData         too few verified texts to train on
    ├── StorageFailed         the disk is full, or a folder cannot be written
    ├── RunCancelled          somebody cancelled the run
    ├── RunTooLong            the run took longer than runs may
    └── RunLost               the run's worker died or the run was taken from it

Each class carries a stable `code`, the HTTP status it answers with and the exit code of the command line.
"""

from __future__ import annotations

from typing import Any, ClassVar


class SpanloopError(Exception):
    """Something went wrong that spanloop foresaw; the message says what, and the way out.

    Where several things are wrong, `problems` among the details lists them: {"path", "message"} each.
    """

    code: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class ConfigurationError(SpanloopError):
    """A setting, a file or a program is missing or wrong."""

    code = "configuration"
    exit_code = 2


class InvalidInput(SpanloopError):
    """What was handed in cannot be used as it is."""

    code = "invalid_input"
    http_status = 422
    exit_code = 2


class MalformedBody(InvalidInput):
    """A body cannot be read as the JSON that it says it is."""

    code = "malformed_body"
    http_status = 400


class UnsupportedMediaType(InvalidInput):
    """A body is of a type that the route does not read."""

    code = "unsupported_media_type"
    http_status = 415


class LabelConfigRefused(InvalidInput):
    """The labelling config has no <Labels> over a <Text>."""

    code = "label_config_refused"
    http_status = 400


class TaxonomyInvalid(InvalidInput):
    """The taxonomy file breaks one of its rules."""

    code = "taxonomy_invalid"


class SpanInvalid(InvalidInput):
    """A span cannot be held by its text or its project."""

    code = "span_invalid"


class NotFound(SpanloopError):
    """What was named does not exist."""

    code = "not_found"
    http_status = 404
    exit_code = 3


class Conflict(SpanloopError):
    """The present state forbids what was asked."""

    code = "conflict"
    http_status = 409
    exit_code = 4


class GateRefused(Conflict):
    """The candidate failed its gate and nobody gave a reason to put it live all the same."""

    code = "gate_refused"


class Unauthorized(SpanloopError):
    """There was no credential, or a wrong one."""

    code = "unauthorized"
    http_status = 401
    exit_code = 5


class Forbidden(SpanloopError):
    """The credential is known, and its role may not do this."""

    code = "forbidden"
    http_status = 403
    exit_code = 5


class MethodNotAllowed(SpanloopError):
    """The route is there, and does not take this method."""

    code = "method_not_allowed"
    http_status = 405
    exit_code = 2


class TooManyRequests(SpanloopError):
    """The token's rate limit is used up for the moment."""

    code = "too_many_requests"
    http_status = 429
    exit_code = 5


class PayloadTooLarge(SpanloopError):
    """The body is over the size limit."""

    code = "payload_too_large"
    http_status = 413
    exit_code = 2


class LabelStudioError(SpanloopError):
    """Label Studio refused what was asked of it."""

    code = "label_studio_error"
    http_status = 502
    exit_code = 6


class LabelStudioUnavailable(LabelStudioError):
    """Label Studio cannot be reached, or does not answer."""

    code = "label_studio_unavailable"
    http_status = 503


class StoreUnavailable(SpanloopError):
    """The database is not there, cannot be reached, or lacks a revision of this version."""

    code = "store_unavailable"
    http_status = 503
    exit_code = 6


class RedisUnavailable(SpanloopError):
    """Redis cannot be reached."""

    code = "redis_unavailable"
    http_status = 503
    exit_code = 6


class ModelUnavailable(SpanloopError):
    """A pipeline cannot be loaded."""

    code = "model_unavailable"
    http_status = 503
    exit_code = 7


class ArtefactCorrupt(ModelUnavailable):
    """Stored files are missing or do not match their checksums."""

    code = "artefact_corrupt"


class WaitedTooLong(SpanloopError):
    """What was waited for did not happen in time."""

    code = "waited_too_long"
    http_status = 504
    exit_code = 9


class RunError(SpanloopError):
    """A training run ended without a model."""

    code = "run_failed"
    http_status = 409
    exit_code = 8


class NotEnoughData(RunError):
    """There are too few verified texts to train on."""

    code = "not_enough_data"


class StorageFailed(RunError):
    """The disk is full, or a folder for models or work cannot be written."""

    code = "storage_failed"
    http_status = 507


class RunCancelled(RunError):
    """Somebody cancelled the run."""

    code = "run_cancelled"


class RunTooLong(RunError):
    """The run took longer than `training_timeout_seconds`."""

    code = "run_too_long"


class RunLost(RunError):
    """The run's worker died, or the run was taken from it."""

    code = "run_lost"
