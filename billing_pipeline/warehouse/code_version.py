"""Which code computed something: one hash over everything that can change a figure or a document."""

import hashlib
from pathlib import Path

_SOURCES = ("billing_pipeline", "dbt_project")
_LOCK = "requirements.lock"
# What tools leave behind between the sources.
_NOT_SOURCES = {"__pycache__", "target", "logs", "dbt_packages"}


class MissingSources(FileNotFoundError):
    """The folder is not the root of this repository."""


def code_version(root: Path) -> str:
    """The sha256 over the pipeline's sources, the dbt project and the lock file, by relative path and content.

    Every file counts (fonts and translations change documents as code does), apart from hidden ones and what Python
    and dbt generate.

    Raises:
        MissingSources: `root` holds no `billing_pipeline`, `dbt_project` or `requirements.lock`.
    """
    absent = [name for name in (*_SOURCES, _LOCK) if not (root / name).exists()]
    if absent:
        message = f"{root} has no {', '.join(absent)}; give the folder that holds them all"
        raise MissingSources(message)
    digest = hashlib.sha256()
    for file in _source_files(root):
        digest.update(f"{file.relative_to(root).as_posix()}\0{file.stat().st_size}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _source_files(root: Path) -> list[Path]:
    files = [path for source in _SOURCES for path in (root / source).rglob("*") if path.is_file()]
    return sorted(path for path in [*files, root / _LOCK] if _is_source(path.relative_to(root)))


def _is_source(path: Path) -> bool:
    return not any(part.startswith(".") or part in _NOT_SOURCES for part in path.parts)
