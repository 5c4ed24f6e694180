"""Small faults in Python: one operator, bound or flag at a time, as a slip of the keyboard would leave it.

Names, texts and the arguments of functions stay as they are: a wrong column name fails by itself, and the wording of a
message is no rule.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

#: What a trial is called that puts no fault in: nobody may notice anything there.
SOUND = "nothing"
#: How a failure is told that is none of a test: nothing can run with the fault.
VOID = "cannot run"

_COMPARED = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==",
    ast.Is: "is not", ast.IsNot: "is", ast.In: "not in", ast.NotIn: "in",
}  # fmt: skip
_COMPUTED = {
    ast.Add: "-", ast.Sub: "+", ast.Mult: "+", ast.FloorDiv: "*", ast.Mod: "//", ast.BitAnd: "|", ast.BitOr: "&",
}  # fmt: skip
_CALLED = {
    "min": "max", "max": "min", "first": "last", "last": "first", "min_horizontal": "max_horizontal",
    "max_horizontal": "min_horizontal", "head": "tail",
}  # fmt: skip
_CHOSEN = {
    ("how", "left"): "inner", ("how", "inner"): "left", ("how", "anti"): "semi", ("how", "semi"): "anti",
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One fault: what is replaced by what, where."""

    line: int
    start: int
    end: int
    before: str
    after: str

    def apply(self, source: str) -> str:
        """The source with the fault in it."""
        return source[: self.start] + self.after + source[self.end :]

    def describe(self, source: str) -> str:
        """The line and what becomes of it, the same for as long as the line is."""
        at = source.rfind("\n", 0, self.start) + 1
        end = source.find("\n", self.end)
        before, rest = source[at : self.start].lstrip(), source[self.end : None if end < 0 else end]
        return f"{before}[{self.before} -> {self.after or 'nothing'}]{rest}"


def find_mutants(source: str) -> list[Mutant]:
    """Every fault that can be put into a module, in the order of its lines."""
    return sorted(set(_Finder(source).find()), key=lambda mutant: (mutant.start, mutant.after))


class _Finder:
    """Walks a module's functions and class bodies; annotations, docstrings and raised errors are left out."""

    def __init__(self, source: str) -> None:
        self._source = source
        starts = [0]
        for line in source.splitlines(keepends=True):
            starts.append(starts[-1] + len(line.encode()))
        self._bytes, self._line_starts = source.encode(), starts

    def find(self) -> Iterator[Mutant]:
        for node in self._reached(ast.parse(self._source)):
            yield from self._wrong_operator(node)
            yield from self._wrong_value(node)

    def _wrong_operator(self, node: ast.AST) -> Iterator[Mutant]:
        match node:
            case ast.Compare():
                for left, operator, right in zip(
                    [node.left, *node.comparators], node.ops, node.comparators, strict=False
                ):
                    yield from self._between(left, right, _COMPARED[type(operator)])
            case ast.BinOp() if type(node.op) in _COMPUTED:
                yield from self._between(node.left, node.right, _COMPUTED[type(node.op)])
            case ast.BoolOp():
                other = "or" if isinstance(node.op, ast.And) else "and"
                for left, right in pairwise(node.values):
                    yield from self._between(left, right, other)
            case ast.UnaryOp(op=ast.Not() | ast.Invert() | ast.USub() as operator):
                at = self._at(node)
                yield self._mutant(at, at + (len("not ") if isinstance(operator, ast.Not) else 1), "")

    def _wrong_value(self, node: ast.AST) -> Iterator[Mutant]:
        match node:
            case ast.Constant(value=bool()):
                yield self._mutant(self._at(node), self._end(node), str(not node.value))
            case ast.Constant(value=int()):
                yield self._mutant(self._at(node), self._end(node), f"({node.value} + 1)")
            case ast.Call(func=ast.Attribute(attr=name)) if name in _CALLED:
                end = self._end(node.func)
                yield self._mutant(end - len(name), end, _CALLED[name])
            case ast.keyword(value=ast.Constant(value=str() as chosen)) if (node.arg, chosen) in _CHOSEN:
                at, end = self._at(node.value), self._end(node.value)
                yield self._mutant(at, end, f'"{_CHOSEN[(node.arg, chosen)]}"')

    def _reached(self, node: ast.AST) -> Iterator[ast.AST]:
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) and not self._is_wording(child):
                    yield child
                    yield from self._reached(child)

    @staticmethod
    def _is_wording(node: ast.AST) -> bool:
        """An f-string, or a message on its way into an error."""
        is_message = isinstance(node, ast.Assign) and [getattr(t, "id", "") for t in node.targets] == ["message"]
        return is_message or isinstance(node, ast.JoinedStr)

    def _between(self, left: ast.expr, right: ast.expr, after: str) -> Iterator[Mutant]:
        """Replace the operator between two operands, whatever parentheses and line breaks stand around it."""
        start, end = self._end(left), self._at(right)
        gap = self._bytes[start:end].decode()
        operator = gap.strip("() \n\t")
        if operator and "#" not in gap:
            at = start + gap.index(operator)
            yield self._mutant(at, at + len(operator), after)

    def _mutant(self, start: int, end: int, after: str) -> Mutant:
        before = self._bytes[start:end].decode().strip()
        line = self._bytes[:start].count(b"\n") + 1
        text_start = len(self._bytes[:start].decode())
        return Mutant(line, text_start, text_start + len(self._bytes[start:end].decode()), before, after)

    def _at(self, node: ast.AST) -> int:
        return self._line_starts[node.lineno - 1] + node.col_offset

    def _end(self, node: ast.AST) -> int:
        return self._line_starts[node.end_lineno - 1] + node.end_col_offset
