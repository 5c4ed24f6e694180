"""What must never be lost or edited: the register of issued documents, hash chained."""

from billing_pipeline.books.chain import GENESIS, BooksDamaged, BooksTooNew, Head
from billing_pipeline.books.register import (
    AlreadyIssued,
    ApprovedCorrection,
    Books,
    Cancellation,
    ChangeOutOfOrder,
    CorrectionOutdated,
    DocumentChanged,
    Issued,
    IssuedMonth,
    IssueRequest,
    NotCancellable,
    NotChronological,
    NotIssued,
)
from billing_pipeline.rules.numbering import MalformedNumber

__all__ = [
    "GENESIS",
    "AlreadyIssued",
    "ApprovedCorrection",
    "Books",
    "BooksDamaged",
    "BooksTooNew",
    "Cancellation",
    "ChangeOutOfOrder",
    "CorrectionOutdated",
    "DocumentChanged",
    "Head",
    "IssueRequest",
    "Issued",
    "IssuedMonth",
    "MalformedNumber",
    "NotCancellable",
    "NotChronological",
    "NotIssued",
]
