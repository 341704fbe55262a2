"""Pages of lists: `limit` and `offset`, and the addresses of the pages before and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, Field

from ml_backend.api.fields import QueryModel, QueryNumber

DEFAULT_LIMIT, LARGEST_LIMIT = 50, 500
LARGEST_OFFSET = 1_000_000_000
Row = TypeVar("Row")


class PageQuery(QueryModel):
    """Which page."""

    limit: Annotated[QueryNumber, Field(ge=1, le=LARGEST_LIMIT)] = Field(
        DEFAULT_LIMIT, description="Most results of the page.", examples=[50]
    )
    offset: Annotated[QueryNumber, Field(le=LARGEST_OFFSET)] = Field(
        0, description="How many results come before the page.", examples=[0]
    )


class Page(BaseModel):
    """A page of a list."""

    count: int = Field(description="How many results there are on all pages.", examples=[150])
    limit: int = Field(description="Most results of this page.", examples=[50])
    offset: int = Field(description="How many results come before this page.", examples=[0])
    next: str | None = Field(
        description="Address of the next page; null on the last one.",
        examples=["http://localhost:9090/api/discovery/ml/feedback/list/?limit=50&offset=50"],
    )
    previous: str | None = Field(
        description="Address of the page before; null on the first one.",
        examples=["http://localhost:9090/api/discovery/ml/feedback/list/?limit=50&offset=0"],
    )


def cut(rows: Sequence[Row], query: PageQuery) -> Sequence[Row]:
    """The page's rows of a list that is read whole, since it never grows long."""
    return rows[query.offset : query.offset + query.limit]


def links(request: Request, query: PageQuery, *, count: int) -> dict[str, Any]:
    """The fields of a page beside its results."""
    after, before = query.offset + query.limit, max(query.offset - query.limit, 0)
    return {
        "count": count,
        "limit": query.limit,
        "offset": query.offset,
        "next": _address(request, query.limit, after) if after < count else None,
        "previous": _address(request, query.limit, before) if query.offset > 0 else None,
    }


def _address(request: Request, limit: int, offset: int) -> str:
    return str(request.url.include_query_params(limit=limit, offset=offset))
