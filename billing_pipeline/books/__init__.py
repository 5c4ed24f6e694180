"""What must never be lost or edited: the register of issued documents, hash chained."""

from billing_pipeline.books.chain import GENESIS, BooksDamaged, BooksTooNew, Head
from billing_pipeline.books.register import (
    AlreadyIssued,
    Books,
    ChangeOutOfOrder,
    DocumentChanged,
    Issued,
    IssuedMonth,
    IssueRequest,
    NotChronological,
    NotIssued,
)
from billing_pipeline.rules.numbering import MalformedNumber

__all__ = [
    "GENESIS",
    "AlreadyIssued",
    "Books",
    "BooksDamaged",
    "BooksTooNew",
    "ChangeOutOfOrder",
    "DocumentChanged",
    "Head",
    "IssueRequest",
    "Issued",
    "IssuedMonth",
    "MalformedNumber",
    "NotChronological",
    "NotIssued",
]
