"""What must never be lost or edited: the register of issued documents, hash chained."""

from billing_pipeline.books.chain import GENESIS, BooksDamaged, BooksTooNew, Head
from billing_pipeline.books.register import (
    AlreadyIssued,
    ApprovedCorrection,
    Books,
    CorrectionOutdated,
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
    "ApprovedCorrection",
    "Books",
    "BooksDamaged",
    "BooksTooNew",
    "CorrectionOutdated",
    "DocumentChanged",
    "Head",
    "IssueRequest",
    "Issued",
    "IssuedMonth",
    "MalformedNumber",
    "NotChronological",
    "NotIssued",
]
