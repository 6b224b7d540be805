"""The answer that assertions and extractions look at: its parts, read when first asked for.

One rule: what cannot be read is said in a sentence (`ReadProblem`), once, however many assertions ask.
Pure; a runner fills it from what its client received, with content coding already undone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from scimproxy.decode import charset_of, text_of
from scimproxy.exchange import Headers
from scimproxy.suite.casts import read_json
from scimproxy.suite.model import Json

__all__ = ["ReadProblem", "ResponseView"]


@dataclass(frozen=True, slots=True)
class ReadProblem:
    """Why a body cannot be read as what it was asked for as."""

    message: str


@dataclass(frozen=True)
class ResponseView:
    """A response as received; scripts that change theirs do not change this one (runscope.md 4).

    `body` is without content coding, `size_bytes` what Runscope would call its size (the body's length when not
    given), `response_time_ms` whole milliseconds.
    """

    status_code: int
    headers: Headers = field(default_factory=Headers)
    body: bytes = field(default=b"", repr=False)
    response_time_ms: int = 0
    size_bytes: int | None = None
    reason: str = ""

    @property
    def size(self) -> int:
        """The size in bytes that assertions see."""
        return len(self.body) if self.size_bytes is None else self.size_bytes

    @cached_property
    def text(self) -> str:
        """The body as text: by its byte order mark, its charset, else UTF-8; what does not fit becomes U+FFFD."""
        return text_of(self.body, charset_of(self.headers)).text

    @cached_property
    def json(self) -> Json | ReadProblem:
        """The body as JSON, or why it is none."""
        try:
            return read_json(self.text)
        except ValueError as exc:
            return ReadProblem(
                f"The response body is not JSON: {exc}" if self.body else "The response body is empty."
            )
