"""The code version changes with whatever can change a figure or a document, and with nothing else."""

from pathlib import Path

import pytest

from billing_pipeline.warehouse import code_version


@pytest.fixture
def repository(tmp_path) -> Path:
    for name, text in {
        "billing_pipeline/rules/tax.py": "RATE = 20",
        "billing_pipeline/documents/templates/invoice.html": "<p>",
        "dbt_project/models/charges.sql": "select 1",
        "requirements.lock": "polars==2.1.0",
    }.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        "billing_pipeline/rules/tax.py",
        "billing_pipeline/documents/templates/invoice.html",
        "dbt_project/models/charges.sql",
        "requirements.lock",
    ],
)
def test_a_changed_source_is_another_version(repository, name):
    before = code_version(repository)

    (repository / name).write_text("changed")

    assert code_version(repository) != before


def test_a_renamed_or_added_source_is_another_version(repository):
    versions = {code_version(repository)}
    (repository / "dbt_project/models/charges.sql").rename(repository / "dbt_project/models/fees.sql")
    versions.add(code_version(repository))
    (repository / "billing_pipeline/rules/empty.py").touch()
    versions.add(code_version(repository))

    assert len(versions) == 3


@pytest.mark.parametrize(
    "name",
    [
        "billing_pipeline/rules/__pycache__/tax.cpython-311.pyc",
        "dbt_project/target/manifest.json",
        "dbt_project/logs/dbt.log",
        "dbt_project/.user.yml",
        "README.md",
    ],
)
def test_what_tools_leave_behind_is_no_other_version(repository, name):
    before = code_version(repository)

    (repository / name).parent.mkdir(exist_ok=True)
    (repository / name).write_text("generated")

    assert code_version(repository) == before


def test_a_folder_that_is_not_the_repository_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="dbt_project"):
        code_version(tmp_path)
