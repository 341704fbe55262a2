"""Structured logging: an event name and fields; ids always, texts and secrets never."""

from __future__ import annotations

import logging
import sys
import traceback

import structlog

SECRET_FIELDS = frozenset({"password", "token", "authorization", "api_key", "access_token", "body", "text"})


def set_up_logging(*, level: str, as_json: bool) -> None:
    """Send every log line, ours and the libraries', to standard error in one format; called once, at a door."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        mask_secrets,
        keep_frames,
    ]
    lines = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer() if as_json else lines
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for server in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        # Its own log, set up before it loads the application, would show an exception's message.
        logging.getLogger(server).handlers = []
        logging.getLogger(server).propagate = True
    for noisy in ("httpx", "httpcore", "presidio-analyzer", "rq.worker", "spacy", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def mask_secrets(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Replace the value of each field whose name says it is secret or holds somebody's text."""
    return {key: "[masked]" if _is_secret(key) else value for key, value in event.items()}


def keep_frames(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Show of an exception where it came from and its classes; messages and local variables may hold a text."""
    given = event.pop("exc_info", None)
    error = sys.exc_info()[1] if given is True else given[1] if isinstance(given, tuple) else given
    if isinstance(error, BaseException):
        event["exception"] = "\n".join(reversed([_frames(link) for link in _chain(error)]))
    return event


def _chain(error: BaseException) -> list[BaseException]:
    links: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in links:
        links.append(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return links


def _frames(error: BaseException) -> str:
    return "".join(traceback.format_tb(error.__traceback__)) + type(error).__name__


def _is_secret(key: str) -> bool:
    name = key.lower()
    return name in SECRET_FIELDS or name.endswith(tuple(f"_{field}" for field in SECRET_FIELDS))


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger whose calls read `log.info("what_happened", field=value)`."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(name)
    return logger
