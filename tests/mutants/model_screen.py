"""Screens faults in dbt models: rebuilds the model and what reads it in one open database, and looks at the same month.

A dbt run for every fault would spend its time on everything that has not changed. Here the tests' month is built by dbt
once; then each faulty model and its descendants are written again by the SQL that dbt would write, inside a transaction
that is taken back afterwards. What passes this screen is tried with dbt itself.
"""

import json
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import duckdb
import jinja2
import polars as pl
import pytest
from _pytest.runner import runtestprotocol
from python_mutants import VOID

#: A fault may make a join explode.
SCREEN_CPU_S = 60
#: Nothing runs with such a fault.
_CANNOT_RUN = (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException)


class ModelScreen:
    """Notes for each faulty source of a model or macro which failure it leads to, if any."""

    def __init__(self, project: Path, faults: list[tuple[Path, str, str]], into: Path) -> None:
        """Faults are the file, what is wrong, and its faulty source."""
        self._project, self._faults, self._into = project, faults, into
        self._month = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef, request: pytest.FixtureRequest) -> object:
        if fixturedef.argname != "rated":
            return None
        fixturedef.cached_result = (self._month, fixturedef.cache_key(request), None)
        return self._month

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        import rating_month

        work = session.config._tmp_path_factory.mktemp("rating")
        self._month = rating_month.rate_month(work, rating_month.CASES)
        self._tables = rating_month.MARTS
        self._built = _Built(self._project, work)
        self._items = [
            item
            for item in session.items
            if "rated" in item.fixturenames and item.name != "test_the_unit_tests_of_the_models_pass"
        ]
        if failure := self._look():
            raise AssertionError(failure)
        signal.signal(signal.SIGVTALRM, _stop)
        for path, said, source in self._faults:
            signal.setitimer(signal.ITIMER_VIRTUAL, SCREEN_CPU_S)
            if path.parent.name == "macros":
                macros = [item for item in session.items if item.path.name == "test_money.py"]
                failure = self._failure_of_macro(path, source, work.parent / "faulty", macros)
            else:
                with self._built.faulty():
                    failure = self._failure(path.stem, source)
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            with self._into.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps([path.stem, said, failure]) + "\n")
        return True

    def _failure_of_macro(self, path: Path, source: str, project: Path, items: list[pytest.Item]) -> str | None:
        shutil.copytree(path.parent, project / "macros", dirs_exist_ok=True)
        (project / "macros" / path.name).write_text(source, encoding="utf-8")
        for item in items:
            item.module.PROJECT = project
        return _first_failure(items, self._items[0])

    def _failure(self, model: str, source: str) -> str | None:
        try:
            self._built.rebuild(model, source)
            return self._look()
        except _CANNOT_RUN as error:
            return f"{VOID}: {error}"[:500]
        except Exception as error:
            return f"{type(error).__name__}: {error}"[:500]

    def _look(self) -> str | None:
        """The first failure of the data tests, the tables' schemas or the tests of the month."""
        for name, failures in self._built.test_data():
            if failures:
                return f"data test {name}: {failures} rows"
        for name, table in self._tables.items():
            self._month.marts[name] = table.validate(self._built.read(name), cast=True)
        return _first_failure(self._items, self._items[0])


def _first_failure(items: list[pytest.Item], following: pytest.Item) -> str | None:
    """Run items; what they share with the one that follows is not taken down."""
    for item, after in zip(items, [*items[1:], following], strict=True):
        for report in runtestprotocol(item, log=False, nextitem=after):
            if report.failed:
                item.session._setupstate.teardown_exact(following)
                told = getattr(report.longrepr, "reprcrash", None)
                return f"FAILED {item.nodeid} - {told.message if told else report.longreprtext}"[:500]
    return None


def _stop(signum: int, frame: FrameType | None) -> None:
    del signum, frame
    message = f"no end after {SCREEN_CPU_S} s"
    raise TimeoutError(message)


class _Built:
    """The database that dbt built, and how it would build a model again."""

    def __init__(self, project: Path, work: Path) -> None:
        manifest = json.loads((work.parent / "target" / "manifest.json").read_text(encoding="utf-8"))
        nodes = manifest["nodes"]
        self._models = {node["name"]: node for node in nodes.values() if node["resource_type"] == "model"}
        children = manifest["child_map"]
        self._children = {
            name: [nodes[child]["name"] for child in children[node["unique_id"]] if child.startswith("model.")]
            for name, node in self._models.items()
        }
        self._tests = {
            node["name"]: node["compiled_code"] for node in nodes.values() if node["resource_type"] == "test"
        }
        relations = {source["name"]: source["relation_name"] for source in manifest["sources"].values()}
        macros = "".join(path.read_text(encoding="utf-8") for path in sorted((project / "macros").glob("*.sql")))
        self._render = jinja2.Environment(autoescape=False).from_string  # noqa: S701  (SQL)
        self._macros = macros
        self._names = {
            "ref": lambda name: self._models[name]["relation_name"],
            "source": lambda source, name: relations[name],
        }
        for name, node in self._models.items():
            if _squeezed(self.compile(node["raw_code"])) != _squeezed(node["compiled_code"]):
                message = f"{name} is compiled otherwise than by dbt"
                raise AssertionError(message)
        self._connection = duckdb.connect(work / "rating.duckdb", config={"threads": 1})
        self._connection.execute("set timezone = 'UTC'")
        # What the database is locked into, dbt sees to.
        self._tests.pop("the_database_is_locked_into_its_folder")

    def compile(self, source: str) -> str:
        """The SQL of a model."""
        return self._render(self._macros + source).render(self._names)

    def faulty(self) -> "_TakenBack":
        """What is rebuilt inside of this is taken back after it."""
        return _TakenBack(self._connection)

    def rebuild(self, model: str, source: str) -> None:
        """Write a model and all that reads it again."""
        reached = {model}
        for name in self._in_order():
            if name in reached:
                reached.update(self._children[name])
                self._write(name, self.compile(source if name == model else self._models[name]["raw_code"]))

    def _in_order(self) -> Iterator[str]:
        """Every model after those that it reads."""
        waiting = dict.fromkeys(self._models)
        read_by = {name: {parent for parent in waiting if name in self._children[parent]} for name in waiting}
        while waiting:
            name = next(name for name in waiting if read_by[name].isdisjoint(waiting))
            del waiting[name]
            yield name

    def _write(self, name: str, sql: str) -> None:
        node = self._models[name]
        relation = node["relation_name"]
        if node["config"]["materialized"] == "view":
            self._connection.execute(f"create or replace view {relation} as ({sql})")
        elif node["config"]["contract"]["enforced"]:
            # The table and its contract stay; a view of it that other models read stays valid.
            columns = ", ".join(node["columns"])
            self._connection.execute(f"delete from {relation}")
            self._connection.execute(f"insert into {relation} ({columns}) select {columns} from ({sql})")
        else:
            self._connection.execute(f"create or replace table {relation} as ({sql})")

    def test_data(self) -> Iterator[tuple[str, int]]:
        """How many rows each data test complains of."""
        for name, sql in self._tests.items():
            ((failures,),) = self._connection.execute(f"select count(*) from ({sql})").fetchall()
            yield name, failures

    def read(self, mart: str) -> pl.DataFrame:
        """The rows of a mart."""
        return pl.DataFrame(self._connection.sql(f"select * from {mart}").to_arrow_table())


class _TakenBack:
    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.begin()

    def __exit__(self, *error: object) -> None:
        self._connection.rollback()


def _squeezed(sql: str) -> str:
    return re.sub(r"\s+", " ", sql).strip()
