"""Every reason code has a case that is tested to give it, and no code is given that is not listed."""

import re
from pathlib import Path

from bad_files import UNREADABLE
from bad_rows import MISFITS, REFUSED, TEXTS

from billing_pipeline import intake
from billing_pipeline.intake.contracts import FEEDS
from billing_pipeline.intake.reasons import FILES, FLAGS, MONTHS, OWNERS, ROWS

#: Cases that need more than one file, each tested by name.
FILES_ELSEWHERE = {
    "file_duplicate": "test_the_same_bytes_under_another_name_count_once_and_are_listed",
    "file_superseded": "test_other_bytes_in_the_place_of_a_file_count_while_the_month_is_open",
    "feed_unknown": "test_a_folder_that_is_no_feed_is_listed",
}
ROWS_ELSEWHERE = {"too_late": "test_usage_of_a_month_that_no_correction_is_made_for_any_more_is_refused"}
FLAGS_ELSEWHERE = {
    "file_no_rows": "test_a_file_without_rows_is_noted",
    "late_file": "test_a_file_with_rows_of_closed_months_says_so",
    "leap": "test_a_leap_second_is_the_second_after_it_and_noted",
    "schema_extra": "test_unknown_columns_are_kept_out_and_noted_once_per_file",
}
OTHERS_ELSEWHERE = {
    "event_conflict": "test_two_versions_of_the_same_instant_contradict_each_other",
    "file_missing": "test_a_month_stops_before_it_is_published_without_a_needed_source",
}


def test_every_reason_to_refuse_a_row_has_a_case() -> None:
    given = {reason for _, _, reason in (*REFUSED, *MISFITS)} | {reason for _, reason in TEXTS if reason}
    # Amounts are binary in JSON alone.
    assert given | {"money_float"} | set(ROWS_ELSEWHERE) == set(ROWS)


def test_every_reason_to_refuse_a_file_has_a_case() -> None:
    assert {bad.reason for bad in UNREADABLE} | set(FILES_ELSEWHERE) == set(FILES)


def test_every_flag_and_every_other_reason_has_a_case() -> None:
    assert set(FLAGS_ELSEWHERE) == set(FLAGS)
    assert set(OTHERS_ELSEWHERE) == set(OWNERS) | set(MONTHS)


def test_the_cases_that_stand_elsewhere_are_there() -> None:
    tests = "".join(file.read_text(encoding="utf-8") for file in sorted(Path(__file__).parent.glob("test_*.py")))
    named = {*ROWS_ELSEWHERE.values(), *FILES_ELSEWHERE.values(), *FLAGS_ELSEWHERE.values(), *OTHERS_ELSEWHERE.values()}
    assert {name for name in named if f"def {name}(" not in tests} == set()


def test_no_reason_is_given_that_is_not_listed() -> None:
    source = "".join(file.read_text(encoding="utf-8") for file in Path(intake.__file__).parent.glob("*.py"))
    spelled = set(re.findall(r"then '([a-z_]+)'", source)) | set(re.findall(r'refused\("([a-z_]+)"', source))
    spelled |= set(re.findall(r'_unless_read\(name, value, "([a-z_]+)"', source))
    spelled |= {reason for feed in FEEDS.values() for reason, _ in feed.all_checks}
    assert spelled - set(ROWS) - set(FILES) == {"duplicate"}
