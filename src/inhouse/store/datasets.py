"""Data sets: fetched from a hub as Parquet, checked, and kept as JSON lines. Knows columns, not what they mean.

    ROOT/NAME.jsonl             the data set, complete
    ROOT/.partial/NAME/         what an interrupted pull left; see `pull`

Parquet is read with pyarrow, 55 MB that nothing else here needs: it comes with the extra `eval` alone.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from pathlib import Path

from inhouse.errors import DownloadError
from inhouse.store.catalogue import DataSet
from inhouse.store.progress import Progress, silent

_BATCH = 64  # rows in memory at a time


def pull_data_set(wanted: DataSet, root: Path, progress: Progress = silent) -> Path:
    """Fetches a data set, unless it is here, and returns its path: `root / NAME.jsonl`.

    May be interrupted in any way, and called again. Raises DownloadError.
    """
    target = root / f"{wanted.name}.jsonl"
    if not target.exists():
        if importlib.util.find_spec("pyarrow") is None:
            raise DownloadError(f"{wanted.name} is a Parquet file, which needs pyarrow: pip install 'inhouse[eval]'")
        from inhouse.store.pull import pull_to  # brings what downloads need; those who only look do not

        pull_to(target, wanted, progress, lambda files, out: _convert(wanted, files, out))
    return target


def _convert(wanted: DataSet, files: Path, target: Path) -> None:
    """The rows of all Parquet files below `files`, as they are, one JSON object a line. Raises DownloadError."""
    from pyarrow import ArrowException, parquet

    rows = files.with_name("rows.jsonl")
    try:
        with rows.open("w", encoding="ascii") as out:  # escaped: nothing in a text looks like the end of a line
            for path in sorted(files.rglob("*.parquet")):
                with parquet.ParquetFile(path) as table:
                    if missing := sorted(set(wanted.fields) - set(table.schema_arrow.names)):
                        raise ValueError(f"there is no column {', '.join(missing)}")
                    for batch in table.iter_batches(_BATCH):
                        out.writelines(f"{json.dumps(row)}\n" for row in batch.to_pylist())
            out.flush()
            os.fsync(out.fileno())
    except (ArrowException, ValueError, TypeError) as error:
        shutil.rmtree(files)  # it is what the hub has: only a later version can be any better
        raise DownloadError(
            f"{wanted.source.repository} is not the data set that this version knows ({error}); take a newer Inhouse, "
            "or give the data set as JSON lines with --dataset"
        ) from error
    rows.replace(target)
