"""What must never be lost or edited: the register of issued documents, hash chained."""

from billing_pipeline.books.chain import GENESIS, BooksDamaged, BooksTooNew, Head
from billing_pipeline.books.register import (
    AlreadyIssued,
    ApprovedCorrection,
    Books,
    ChangeOutOfOrder,
    CorrectionOutdated,
    Decision,
    DecisionKind,
    DocumentChanged,
    Issued,
    IssuedMonth,
    IssueRequest,
    NotChronological,
    NotDecidable,
    NotIssued,
    invoices_of_months,
)
from billing_pipeline.rules.numbering import MalformedNumber

__all__ = [
    "GENESIS",
    "AlreadyIssued",
    "ApprovedCorrection",
    "Books",
    "BooksDamaged",
    "BooksTooNew",
    "ChangeOutOfOrder",
    "CorrectionOutdated",
    "Decision",
    "DecisionKind",
    "DocumentChanged",
    "Head",
    "IssueRequest",
    "Issued",
    "IssuedMonth",
    "MalformedNumber",
    "NotChronological",
    "NotDecidable",
    "NotIssued",
    "invoices_of_months",
]
