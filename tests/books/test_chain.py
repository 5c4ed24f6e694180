"""The books refuse edits, and notice those that were made behind their back."""

import random
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from billing_pipeline.books import Books, BooksDamaged, BooksTooNew, IssueRequest
from billing_pipeline.books.chain import Chain
from billing_pipeline.rules.period import Month

OCTOBER, NOV_3 = Month(2026, 10), date(2026, 11, 3)
AS_OF = datetime(2026, 11, 3, tzinfo=UTC)


def october_invoice(payer_id: str) -> IssueRequest:
    period = (OCTOBER.first_day, OCTOBER.last_day)
    return IssueRequest(payer_id, "invoice", OCTOBER, *period, "ab" * 32, {"payable_cents": 1200})


REQUESTS = [october_invoice(f"orga_{number}") for number in range(8)]


@pytest.fixture
def path(tmp_path) -> Path:
    path = tmp_path / "books.sqlite"
    books = Books(path)
    books.issue(REQUESTS, "F", NOV_3, as_of=AS_OF)
    books.record_documents({"F-2026-000001": {"F-2026-000001.pdf": "cd" * 32}})
    return path


def change_behind_its_back(path: Path, *statements: str) -> None:
    """Run SQL as an intruder would, who puts the triggers back afterwards."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
        for _, sql in triggers:
            connection.execute(sql)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET payload = '{}' WHERE seq = 2",
        "DELETE FROM entries WHERE seq = 9",
        "DELETE FROM entries",
        "INSERT OR REPLACE INTO entries SELECT seq, kind, '{}', previous_hash, hash FROM entries WHERE seq = 2",
        "INSERT INTO entries VALUES (11, 'first_month', '{}', 'a', 'b')",
        "INSERT INTO entries VALUES (-1, 'first_month', '{}', 'a', 'b')",
    ],
)
def test_an_edit_is_refused(path, statement):
    with (
        closing(sqlite3.connect(path)) as connection,
        pytest.raises(sqlite3.IntegrityError, match=r"never changed|never removed|one after the other"),
    ):
        connection.execute(statement)


def test_a_replaced_key_is_refused(path):
    """INSERT OR REPLACE under a new seq would remove the row that holds the same number."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA recursive_triggers = ON")
        with pytest.raises(sqlite3.IntegrityError, match="never removed"):
            connection.execute(
                "INSERT OR REPLACE INTO entries SELECT 10, kind, payload, previous_hash, hash FROM entries WHERE seq=2"
            )


@pytest.mark.parametrize(
    ("statement", "entry"),
    [
        ("UPDATE entries SET payload = replace(payload, '1200', '1300') WHERE seq = 3", "entry 3"),
        ("UPDATE entries SET kind = 'first_month' WHERE seq = 3", "entry 3"),
        ("UPDATE entries SET hash = previous_hash WHERE seq = 3", "entry 3"),
        ("UPDATE entries SET previous_hash = hash WHERE seq = 3", "entry 3"),
        ("DELETE FROM entries WHERE seq = 3", "entry 4"),
        ("DELETE FROM entries WHERE seq = 1", "entry 2"),
        ("UPDATE entries SET seq = 20 WHERE seq = 9", "entry 20"),
    ],
)
def test_an_edit_behind_its_back_is_noticed_and_named(path, statement, entry):
    change_behind_its_back(path, statement)

    with pytest.raises(BooksDamaged, match=entry):
        Books(path).verify()
    with pytest.raises(BooksDamaged, match=entry):
        Books(path).issue([october_invoice("orga_new")], "F", NOV_3, as_of=AS_OF)


def test_an_entry_rewritten_with_a_hash_of_its_own_is_noticed_by_the_next_one(path):
    forged = Books(path.with_name("forged.sqlite"))
    forged.issue([*REQUESTS[:2], october_invoice("orga_forger")], "F", NOV_3, as_of=AS_OF)
    change_behind_its_back(
        path,
        f"ATTACH '{path.with_name('forged.sqlite')}' AS forged",
        "UPDATE entries SET (payload, hash) = (SELECT payload, hash FROM forged.entries WHERE seq = 3) WHERE seq = 3",
    )

    with pytest.raises(BooksDamaged, match=r"entry 4 .* does not follow entry 3"):
        Books(path).verify()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"serial": 10, "number": "F-2026-000010"}, "F-2026-000010 of 2026-11-03 after F-2026-000008"),
        ({"serial": 9, "number": "F-2026-000009", "issued_on": "2026-11-02"}, "of 2026-11-02 after F-2026-000008"),
        ({"serial": 2, "number": "G-2026-000002", "series": "G"}, r"G-2026-000002 .* as the first of its series"),
    ],
)
def test_numbers_with_a_gap_or_out_of_order_are_noticed_even_in_a_whole_chain(path, changes, said):
    chain = Chain(path, {})
    with chain.writing() as entries:
        [last] = entries.select("seq = 8")
        entries.append("invoice_issued", {**last.payload, "payer_id": "orga_new", **changes})

    with pytest.raises(BooksDamaged, match=said):
        Books(path).verify()


@pytest.mark.parametrize("change", [{"number": "F-2026-000099"}, {"state": "LOST"}])
def test_a_change_of_no_document_or_to_no_state_is_noticed_even_in_a_whole_chain(path, change):
    payload = {"number": "F-2026-000001", "state": "PAID", "at": "2026-11-03T00:00:00.000000+00:00", "reason": "x"}
    with Chain(path, {}).writing() as entries:
        entries.append("state_changed", {**payload, "author": None, "payment_id": "p1", **change})

    with pytest.raises(BooksDamaged, match="no issued document or no state"):
        Books(path).verify()


def test_books_of_an_earlier_version_get_the_indexes_that_they_lack(path):
    issued = Books(path).issued()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP INDEX states_by_number")
        connection.execute("PRAGMA user_version = 1")

    assert Books(path).issued() == issued
    assert Books(path).verify().seq == 9


def test_an_edited_amount_is_not_read(path):
    change_behind_its_back(path, "UPDATE entries SET payload = replace(payload, '1200', '1300') WHERE seq = 3")

    with pytest.raises(BooksDamaged, match="entry 3"):
        Books(path).issued(OCTOBER)


def test_an_edit_of_a_new_entry_is_noticed_by_a_process_that_verified_before(path):
    books = Books(path)
    books.issue(REQUESTS[:1], "F", NOV_3, as_of=AS_OF)
    Books(path).issue([october_invoice("orga_new")], "F", NOV_3, as_of=AS_OF)
    change_behind_its_back(path, "UPDATE entries SET payload = replace(payload, '1200', '1300') WHERE seq = 10")

    with pytest.raises(BooksDamaged, match="entry 10"):
        books.issue([october_invoice("orga_other")], "F", NOV_3, as_of=AS_OF)


def test_books_cut_short_are_noticed_by_a_head_kept_elsewhere(path):
    books = Books(path)
    head = books.verify()
    books.issue([october_invoice("orga_new")], "F", NOV_3, as_of=AS_OF)
    assert books.verify(head).seq == head.seq + 1

    change_behind_its_back(path, "DELETE FROM entries WHERE seq >= 9")

    with pytest.raises(BooksDamaged, match=r"entry 9 .* older or another chain"):
        Books(path).verify(head)
    with pytest.raises(BooksDamaged, match="older or another chain"):
        Books(path.with_name("new.sqlite")).verify(head)


def test_books_cut_short_are_noticed_by_a_process_that_verified_before(path):
    books = Books(path)
    books.issue(REQUESTS[:1], "F", NOV_3, as_of=AS_OF)
    change_behind_its_back(path, "DELETE FROM entries WHERE seq >= 8")

    with pytest.raises(BooksDamaged, match="older or another chain"):
        books.issue([october_invoice("orga_new")], "F", NOV_3, as_of=AS_OF)


def test_books_without_their_triggers_or_keys_are_refused(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TRIGGER entries_are_never_changed")
        connection.execute("DROP INDEX one_invoice_per_key")

    with pytest.raises(BooksDamaged, match=r"one_invoice_per_key|entries_are_never_changed"):
        Books(path).verify()


def test_every_changed_byte_of_an_entry_is_noticed(path):
    content = path.read_bytes()
    with closing(sqlite3.connect(path)) as connection:
        (payload,) = connection.execute("SELECT payload FROM entries WHERE seq = 5").fetchone()
    start = content.index(payload.encode())
    for position in range(start, start + len(payload), 3):
        changed = bytearray(content)
        changed[position] ^= 1
        path.write_bytes(changed)

        with pytest.raises(BooksDamaged):
            Books(path).verify()


def test_a_flipped_bit_anywhere_is_noticed_or_harmless(path):
    issued = Books(path).issued()
    content = path.read_bytes()
    places = random.Random(20261001)
    noticed = 0
    for _ in range(150):
        changed = bytearray(content)
        changed[places.randrange(100, len(content))] ^= 1 << places.randrange(8)
        path.write_bytes(changed)
        try:
            books = Books(path)
            again = books.issue([*REQUESTS, october_invoice("orga_new")], "F", NOV_3, as_of=AS_OF)
        except BooksDamaged:
            noticed += 1
        else:
            assert again[:-1] == issued
            assert again[-1].serial == 9
        for left in path.parent.glob("books.sqlite-*"):
            left.unlink()
    assert noticed > 10


def test_a_file_that_holds_no_books_is_refused(tmp_path):
    (tmp_path / "books.sqlite").write_bytes(b"no database" * 1000)

    with pytest.raises(BooksDamaged, match=r"books\.sqlite"):
        Books(tmp_path / "books.sqlite")


def test_books_of_a_later_version_are_refused(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 3")

    with pytest.raises(BooksTooNew, match="schema 3"):
        Books(path)
