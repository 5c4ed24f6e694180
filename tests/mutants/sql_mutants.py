"""Small faults in SQL: a comparison, a bound, a sign, a join, or a WHERE that is missing."""

import re
from collections.abc import Iterator

from python_mutants import Mutant

_SWAPS = (
    (r"(?<![<>=!])<(?![>=])", "<="),
    (r"<=", "<"),
    (r"(?<![<>=-])>(?!=)", ">="),
    (r">=", ">"),
    (r"<>", "="),
    (r"(?<![<>!:])=(?!=)", "<>"),
    (r"(?<= )\+(?= )", "-"),
    (r"(?<= )-(?= )", "+"),
    (r"(?<=[^t] )\*(?= )", "+"),
    (r"(?<= )//(?= )", "*"),
    (r"(?<= )%(?= )", "//"),
    (r"\bleast\b", "greatest"),
    (r"\bgreatest\b", "least"),
    (r"\bmin(?=\()", "max"),
    (r"\bmax(?=\()", "min"),
    (r"\bsum(?=\()", "max"),
    (r"\bsemi join\b", "anti join"),
    (r"\banti join\b", "semi join"),
    (r"\bleft join\b", "inner join"),
    (r"\band\b", "or"),
    (r"\bor\b", "and"),
    (r"\bnot (?!materialized|null)", ""),
    (r"\bis null\b", "is not null"),
    (r"\bis not null\b", "is null"),
    (r"\basc\b", "desc"),
    (r"\bdesc\b", ""),
    (r"(?<=[-+*(,<>=] )\d+\b", None),
)
#: What ends a WHERE of the same depth.
_AFTER_WHERE = re.compile(r"\s*(\)|group by\b|having\b|order by\b|window\b|union\b|qualify\b|$)", re.ASCII)
_LEFT_ALONE = re.compile(r"--[^\n]*|\{#.*?#\}|\{%.*?%\}|'[^']*'|decimal\(\d+, \d+\)", re.DOTALL)


def find_mutants(source: str) -> list[Mutant]:
    """Every fault that can be put into a model or a macro, in the order of its lines."""
    blank = _LEFT_ALONE.sub(lambda match: re.sub(r"[^\n]", "~", match[0]), source)
    return sorted(
        {*_swapped(blank, source), *_unfiltered(blank, source)}, key=lambda mutant: (mutant.start, mutant.after)
    )


def _swapped(blank: str, source: str) -> Iterator[Mutant]:
    for pattern, after in _SWAPS:
        for match in re.finditer(pattern, blank):
            yield _mutant(source, match.start(), match.end(), str(int(match[0]) + 1) if after is None else after)


def _unfiltered(blank: str, source: str) -> Iterator[Mutant]:
    for match in re.finditer(r"\bwhere\b", blank):
        yield _mutant(source, match.start(), _end_of_where(blank, match.end()), "")


def _end_of_where(blank: str, at: int) -> int:
    depth = 0
    while at < len(blank):
        if depth == 0 and _AFTER_WHERE.match(blank, at):
            return at
        depth += {"(": 1, ")": -1}.get(blank[at], 0)
        at += 1
    return at


def _mutant(source: str, start: int, end: int, after: str) -> Mutant:
    return Mutant(source[:start].count("\n") + 1, start, end, " ".join(source[start:end].split()), after)
