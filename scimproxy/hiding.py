"""The secret path out of everything recorded: a recorder before the recorder, which redacts by value, not by place.

One rule: whatever reaches the recorder behind it holds the fingerprint where the secret stood, in targets, fields,
bodies (coded ones too) and words; everything else stays byte for byte. Other secrets are `redact`'s work, which knows
them by their place and comes after this. There is none of this where there is no secret path, so it costs nothing.

Place in the flow: engine -> Hiding -> Recorder -> Store.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from scimproxy.decode import decode
from scimproxy.errors import ScimproxyError
from scimproxy.exchange import Connection, Content, Exchange, Headers, Request, Response, Rewrite, fingerprint
from scimproxy.proxy.engine import Recorder

__all__ = ["Hidden", "Hiding"]

_PARTLY = 8
"""So many characters of the secret at the end of a cut body are a part of it."""


class Hidden:
    """A text that must not be seen, and what stands in its place."""

    def __init__(self, secret: str) -> None:
        self._mark = fingerprint(secret)
        self._secret = secret
        self._plain = secret.encode()
        # In a target and in fields each character may be percent-coded.
        coded = "".join(f"(?:{re.escape(one)}|%{ord(one):02x}|%{ord(one):02X})" for one in secret)
        self._anyhow = re.compile(coded)

    def out_of(self, exchange: Exchange) -> Exchange:
        """Return the exchange without the secret."""
        response, failure = exchange.response, exchange.failure
        return replace(
            exchange,
            request=self._request(exchange.request),
            response=None if response is None else self._response(response),
            failure=None if failure is None else replace(failure, message=self.out_of_text(failure.message)),
            client_claim=self._maybe(exchange.client_claim),
            host=self._maybe(exchange.host),
            upstream_request_target=self._maybe(exchange.upstream_request_target),
            upstream_request_headers=self._maybe_headers(exchange.upstream_request_headers),
            upstream_response_headers=self._maybe_headers(exchange.upstream_response_headers),
            rewrites=tuple(
                Rewrite(self.out_of_text(one.place), self.out_of_text(one.before), self.out_of_text(one.after))
                for one in exchange.rewrites
            ),
            ended=self._maybe(exchange.ended),
        )

    def _request(self, request: Request) -> Request:
        return replace(
            request,
            target=self.out_of_text(request.target),
            headers=self._headers(request.headers),
            content=self._content(request.content, request.headers),
            trailers=self._maybe_headers(request.trailers),
        )

    def _response(self, response: Response) -> Response:
        return replace(
            response,
            reason=self.out_of_text(response.reason),
            headers=self._headers(response.headers),
            content=self._content(response.content, response.headers),
            trailers=self._maybe_headers(response.trailers),
        )

    def out_of_text(self, text: str) -> str:
        """Return a text without the secret."""
        if self._secret not in text and "%" not in text:  # nearly always; the pattern is twenty times slower
            return text
        return self._anyhow.sub(self._mark, text)

    def _maybe(self, text: str | None) -> str | None:
        return None if text is None else self.out_of_text(text)

    def _headers(self, headers: Headers) -> Headers:
        pairs = tuple((self.out_of_text(name), self.out_of_text(value)) for name, value in headers)
        return headers if pairs == headers.pairs else Headers(pairs)  # the same object where it can be: it is a key

    def _maybe_headers(self, headers: Headers | None) -> Headers | None:
        return None if headers is None else self._headers(headers)

    def _content(self, content: Content, headers: Headers) -> Content:
        plain = content.data
        if "content-encoding" in headers and self._plain not in plain:
            plain = decode(content, headers).data
        safe = plain.replace(self._plain, self._mark.encode())
        if content.truncated:
            safe = self._without_beginning(safe)
        if safe == plain:
            return content
        return replace(Content.of(safe), size=content.size, redacted=True)

    def _without_beginning(self, data: bytes) -> bytes:
        """Return a cut body without the beginning of the secret at its end."""
        for length in range(len(self._plain) - 1, _PARTLY - 1, -1):
            if data.endswith(self._plain[:length]):
                return data[:-length]
        return data


class Hiding:
    """A recorder that takes a secret out of what it passes on to another."""

    def __init__(self, recorder: Recorder, secret: str) -> None:
        self._recorder = recorder
        self._hidden = Hidden(secret)

    async def record(self, exchange: Exchange) -> None:
        """Store an exchange and return once it is committed.

        Raises:
            StoreError: it could not be stored.
        """
        await self._recorder.record(self._hidden.out_of(exchange))

    def submit(self, exchange: Exchange, done: Callable[[ScimproxyError | None], None]) -> None:
        """Store an exchange; `done` is called once, when it is committed or cannot be."""
        self._recorder.submit(self._hidden.out_of(exchange), done)

    async def opened(self, exchange: Exchange) -> None:
        """Announce an exchange in flight, and return once that is committed.

        Raises:
            StoreError: it could not be stored.
        """
        await self._recorder.opened(self._hidden.out_of(exchange))

    def pending(self, exchange: Exchange) -> None:
        """Announce an exchange in flight."""
        self._recorder.pending(self._hidden.out_of(exchange))

    def connection(self, connection: Connection) -> None:
        """Pass on what became of a connection."""
        reason = connection.close_reason
        safe = None if reason is None else self._hidden.out_of_text(reason)
        self._recorder.connection(connection if safe == reason else replace(connection, close_reason=safe))

    def refusing(self) -> ScimproxyError | None:
        """Return why nothing can be recorded right now."""
        return self._recorder.refusing()

    def lost(self, reason: str) -> None:
        """Count an exchange that passed without being recorded."""
        self._recorder.lost(self._hidden.out_of_text(reason))
