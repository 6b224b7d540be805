"""Files that commands write of what was recorded: whole or not there, and for their user's eyes only.

One rule: what was recorded names people, and with --keep-secrets holds tokens, so that a file of it is readable by
its user alone (0600), like the database. Place in the flow: texts and bytes of reports and formats -> a file.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from scimproxy.errors import ScimproxyError, UsageError

__all__ = ["whole_file", "write_text"]


@contextlib.contextmanager
def whole_file(
    path: Path, option: str, *, mode: int = 0o600, fault: type[ScimproxyError] = UsageError
) -> Iterator[BinaryIO]:
    """Open a file to write, which gets its name when all is written; a device or a pipe is written at once.

    `mode` is for what somebody else must read, like the server of a CI; the umask has its say.

    Raises:
        ScimproxyError: it cannot be written, of the kind `fault`; the hint names `option`.
    """
    partial: Path | None = None
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as file:
                yield file
        else:
            place = path.resolve()  # a link stays one
            partial = place.with_name(place.name + ".part")
            with os.fdopen(os.open(partial, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode), "wb") as file:
                yield file
            partial.replace(place)
    except BaseException as exc:  # what cannot be written leaves nothing either
        if partial is not None:
            with contextlib.suppress(OSError):
                partial.unlink()
        if not isinstance(exc, OSError):
            raise
        raise fault(f"{path} cannot be written: {exc.strerror or exc}", hint=f"choose another {option}") from exc


def write_text(path: Path, text: str, option: str, *, mode: int = 0o600) -> None:
    """Write what a command that has done its work was also asked for.

    Raises:
        ScimproxyError: it cannot be written.
    """
    with whole_file(path, option, mode=mode, fault=ScimproxyError) as file:
        file.write(text.encode("utf-8"))
