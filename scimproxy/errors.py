"""The exceptions of scimproxy: for the user's input and for our surroundings, never for what the wire did.

Each carries a sentence saying what is wrong and where, and a hint saying what to do next. The tree::

    ScimproxyError            exit code 3: could not run
      UsageError              exit code 2: a value given by the user is not usable
        SyntaxProblem         ... at a position of a text (query, SCIM filter, PATCH path)
      FormatError             a file or message is not what it claims to be
      EngineError             the proxy cannot start or go on (port taken, no certificate)
      StoreError              the database cannot be used
        StoreBusy             another process holds it locked
        StoreFull             no space left on the device (or the size limit is reached)
        StoreCorrupt          the file is damaged or is not a scimproxy database
        StoreTooNew           written by a newer scimproxy
"""

from __future__ import annotations


class ScimproxyError(Exception):
    """A problem outside our code, told in a sentence; `hint` says what to do next."""

    exit_code = 3

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class UsageError(ScimproxyError):
    """A value given by the user cannot be used."""

    exit_code = 2


class SyntaxProblem(UsageError):
    """A text in one of our small languages does not parse; `position` is the 0-based offset of the fault."""

    def __init__(self, message: str, *, text: str, position: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.text = text
        self.position = position

    def pointed(self) -> str:
        """Return the text with a caret under the fault, for a terminal."""
        return f"{self.text}\n{' ' * self.position}^"


class FormatError(ScimproxyError):
    """A file or message is not what it claims to be, or exceeds a bound on size or depth."""


class EngineError(ScimproxyError):
    """The proxy engine cannot start or cannot go on."""


class StoreError(ScimproxyError):
    """The database cannot be used."""


class StoreBusy(StoreError):
    """Another process holds the database locked."""


class StoreFull(StoreError):
    """No space is left for the database."""


class StoreCorrupt(StoreError):
    """The file is damaged or is not a scimproxy database."""


class StoreTooNew(StoreError):
    """The database was written by a newer scimproxy."""
