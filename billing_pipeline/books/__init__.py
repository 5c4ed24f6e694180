"""What must never be lost or edited: the register of issued documents, hash chained."""

from billing_pipeline.books.chain import GENESIS, BooksDamaged, BooksTooNew, Head
from billing_pipeline.books.register import (
    AlreadyIssued,
    Books,
    DocumentChanged,
    Issued,
    IssuedMonth,
    IssueRequest,
    MalformedNumber,
    NotChronological,
    NotIssued,
)

__all__ = [
    "GENESIS",
    "AlreadyIssued",
    "Books",
    "BooksDamaged",
    "BooksTooNew",
    "DocumentChanged",
    "Head",
    "IssueRequest",
    "Issued",
    "IssuedMonth",
    "MalformedNumber",
    "NotChronological",
    "NotIssued",
]
