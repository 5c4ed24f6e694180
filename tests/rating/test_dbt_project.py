"""The dbt project as a whole: its contracts and its own unit tests."""

from pathlib import Path

import polars as pl
import pytest
import yaml
from rating_month import MARTS, PROJECT, Case, RatedMonth, rate_month, run_dbt


@pytest.mark.parametrize("mart", MARTS)
def test_a_dbt_contract_and_its_python_schema_list_the_same_columns(mart: str):
    (model,) = yaml.safe_load((PROJECT / "models" / "marts" / f"{mart}.yml").read_text())["models"]
    assert [column["name"] for column in model["columns"]] == MARTS[mart].column_names()


_TYPES = {
    "varchar": (pl.String, pl.Enum),
    "bigint": (pl.Int64,),
    "date": (pl.Date,),
    "boolean": (pl.Boolean,),
    "decimal(38,0)": (pl.Decimal(38, 0),),
    "decimal(38,9)": (pl.Decimal(38, 9),),
    "decimal(38,20)": (pl.Decimal(38, 20),),
    "timestamp with time zone": (pl.Datetime("us", "UTC"),),
}


@pytest.mark.parametrize("mart", MARTS)
def test_a_dbt_contract_and_its_python_schema_have_the_same_types(mart: str):
    (model,) = yaml.safe_load((PROJECT / "models" / "marts" / f"{mart}.yml").read_text())["models"]
    schema = MARTS[mart].create_empty().schema
    for column in model["columns"]:
        assert any(schema[column["name"]] == dtype for dtype in _TYPES[column["data_type"]]), column["name"]


def test_the_unit_tests_of_the_models_pass(rated: RatedMonth, work: Path):
    run_dbt(work, "test", "--select", "test_type:unit")


def test_every_model_says_what_one_row_is():
    descriptions = {
        model["name"]: model["description"]
        for file in (PROJECT / "models").rglob("*.yml")
        for model in yaml.safe_load(file.read_text()).get("models", [])
    }
    assert set(descriptions) == {file.stem for file in (PROJECT / "models").rglob("*.sql")}
    assert [name for name, description in descriptions.items() if "One row" not in description] == []


def test_a_month_without_any_usage_has_empty_marts(tmp_path: Path):
    month = rate_month(tmp_path, [Case("idle")])
    assert {name: mart.height for name, mart in month.marts.items()} == dict.fromkeys(MARTS, 0)
