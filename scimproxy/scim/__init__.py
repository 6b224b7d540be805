"""What is SCIM about an exchange: messages, filters, paths, schemas. Pure.

`KINDS` are the words for what an exchange is: `Operation.kind`, and `op:` of the query language. They stand here
because the query language is read where nothing else of SCIM is loaded.
"""

from typing import Literal, get_args

__all__ = ["KINDS", "Kind"]

Kind = Literal["create", "read", "list", "search", "replace", "patch", "delete", "bulk", "discovery", "me", "other"]
KINDS: tuple[str, ...] = get_args(Kind)
"""The words for `Operation.kind`, and for `op:` of the query language."""
