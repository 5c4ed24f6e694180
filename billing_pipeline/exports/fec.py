"""The French accounting entries file (FEC, art. A47 A-1 LPF): what a tax inspector and every accountant's program read.

18 columns separated by tabs, lines ended by CR LF, ISO 8859-15, dates as 20261003, amounts in euros with a comma.
Entries stand in the order in which they were validated, each journal numbered without a gap.
"""

import unicodedata
from datetime import date

import dataframely as dy
import polars as pl

from billing_pipeline.exports.ledger import AUXILIARY
from billing_pipeline.rules.currencies import write_amount
from billing_pipeline.tables.journal import Journal

_ENCODING = "iso8859_15"
_ACCOUNTS = {
    "receivable": "Clients",
    "advances": "Clients - Avances et acomptes reçus",
    "revenue": "Prestations de services",
    "reductions": "Rabais, remises et ristournes accordés",
    "vat_pending": "TVA collectée en attente d'encaissement",
    "vat_due": "TVA collectée",
    "bank": "Banque",
    "unassigned": "Compte d'attente",
    "losses": "Pertes sur créances irrécouvrables",
    "opening": "Bilan d'ouverture",
}
_JOURNALS = {
    "invoice": "Ventes",
    "credit_note": "Avoirs",
    "payment": "Règlements",
    "transfer": "Opérations diverses",
    "write_off": "Opérations diverses",
    "opening": "À nouveaux",
}


class UnknownSiren(ValueError):
    """The file's name needs the SIREN of the seller."""


class ForeignCurrency(ValueError):
    """A FEC holds euros."""


def name_fec(legal_id: str, closes_on: date) -> str:
    """The file's name: SIREN, `FEC` and the day on which the exercise closes.

    Raises:
        UnknownSiren: the legal id is neither a SIREN nor a SIRET.
    """
    digits = "".join(legal_id.split())
    if not digits.isdecimal() or len(digits) not in (9, 14):
        message = f"a FEC is named by the seller's SIREN, and {legal_id!r} is none; set seller.legal_id (9 digits)"
        raise UnknownSiren(message)
    return f"{digits[:9]}FEC{closes_on:%Y%m%d}.txt"


def write_fec(journal: dy.DataFrame[Journal]) -> bytes:
    """The file's content.

    Args:
        journal: postings in euros, lettered by all that is known.

    Raises:
        ForeignCurrency: others are among them; no rate is invented.
    """
    foreign = journal.filter(pl.col("currency") != "EUR")
    if foreign.height:
        message = (
            f"{foreign.height:,} postings are in {', '.join(foreign['currency'].unique().sort())}; "
            "a FEC holds euros, leave them out"
        )
        raise ForeignCurrency(message)
    names = _plain(journal["payer_name"])
    role = pl.col("role").cast(pl.String)
    # Where VAT falls due with the invoice, nothing of it is pending.
    is_vat_due = (role == "vat_pending") & pl.col("account").str.starts_with("44571")
    is_auxiliary = role.is_in(AUXILIARY)
    # A journal that several kinds of entry share has one name.
    book_names = {code: _JOURNALS[kind] for code, kind in _kinds_of_journals(journal)}
    columns = {
        "JournalCode": pl.col("journal"),
        "JournalLib": pl.col("journal").replace_strict(book_names, return_dtype=pl.String),
        "EcritureNum": pl.format("{}{}", "journal", pl.col("entry_number").cast(pl.String).str.zfill(6)),
        "EcritureDate": _day("posted_on"),
        "CompteNum": pl.col("account"),
        "CompteLib": pl.when(is_vat_due).then(pl.lit("vat_due")).otherwise(role).replace_strict(_ACCOUNTS),
        "CompAuxNum": pl.when(is_auxiliary).then("payer_id").otherwise(pl.lit("")),
        "CompAuxLib": pl.when(is_auxiliary).then("plain_name").otherwise(pl.lit("")),
        "PieceRef": pl.col("piece"),
        "PieceDate": _day("piece_on"),
        "EcritureLib": pl.col("label"),
        "Debit": write_amount("debit_cents", point=","),
        "Credit": write_amount("credit_cents", point=","),
        "EcritureLet": pl.col("lettering").fill_null(""),
        "DateLet": _day("lettered_on").fill_null(""),
        "ValidDate": _day("validated_on"),
        "Montantdevise": pl.lit(""),
        "Idevise": pl.lit(""),
    }
    lines = (
        journal.sort("validated_on", "journal", "entry_number", "posting")
        .with_columns(plain_name=pl.col("payer_name").replace_strict(names))
        .select(**columns)
        .select(line=pl.concat_str(pl.all(), separator="\t"))["line"]
    )
    return "".join(f"{line}\r\n" for line in ["\t".join(columns), *lines]).encode(_ENCODING)


def _kinds_of_journals(journal: pl.DataFrame) -> list[tuple[str, str]]:
    """The kind of entry that gives each journal its name."""
    kinds = journal.group_by("journal").agg(pl.col("kind").cast(pl.String).sort().first()).sort("journal")
    return list(kinds.iter_rows())


def _day(column: str) -> pl.Expr:
    return pl.col(column).dt.strftime("%Y%m%d")


def _plain(names: pl.Series) -> dict[str, str]:
    """Names without what the file's form and encoding cannot carry."""
    return {name: _carried(name) for name in names.unique().sort()}


def _carried(name: str) -> str:
    printable = "".join(" " if unicodedata.category(letter)[0] == "C" or letter == "|" else letter for letter in name)
    return "".join(_letter(letter) for letter in printable).strip() or "?"


def _letter(letter: str) -> str:
    """The letter itself, or without its accents, or a question mark."""
    for form in (letter, *unicodedata.normalize("NFKD", letter)[:1]):
        try:
            form.encode(_ENCODING)
        except UnicodeEncodeError:
            continue
        return form
    return "?"
