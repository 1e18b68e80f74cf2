"""Run SWE-bench: a patch for every instance, graded, kept on disk as it comes, reported.

A `Solver` gives patches (a model's, the merged ones, none); workers grade in parallel. Where Docker and the `swebench`
package are there, the official harness can grade what was written. Knows no models and no terminals.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from inhouse.errors import InhouseError, PeerError
from inhouse.evals.records import Records
from inhouse.evals.swebench import (
    Grade,
    Instance,
    clone_of,
    grade,
    prepare,
    require_clones,
    resolved_rate,
    write_predictions,
)

LOCAL = "local grader (a Python of this machine in the sandbox; not comparable with published scores)"
OFFICIAL = "official swebench harness"


@dataclass(frozen=True)
class Attempt:
    """What a solver gave: a patch, the tokens it took, and why there is none, if so."""

    patch: str
    tokens: int = 0
    note: str = ""


Solver = Callable[[Instance, Path], Attempt]  # the path is a repository of its own, without future history


@dataclass(frozen=True)
class Settings:
    """`clones`: folder of local clones. `python`: runs the tests. `timeout`: seconds for the tests of one instance."""

    name: str
    clones: Path
    python: Path
    timeout: float = 900.0
    workers: int = 1


def run(
    instances: Sequence[Instance],
    solve: Solver,
    settings: Settings,
    results: Path,
    progress: Callable[[int, int, Grade], None] = lambda done, total, last: None,
) -> dict[str, Any]:
    """Solve and grade every instance that `results` does not hold yet; returns the report.

    Patches are made one after the other when the solver is a model (it has one engine); grading runs in parallel.
    Predictions in the official form lie beside the results. Raises ParameterError where clones are missing.
    """
    records = Records(results, {"benchmark": "swe-bench", "model": settings.name, "timeout": settings.timeout})
    require_clones((one for one in instances if one.instance_id not in records), settings.clones)
    solving, keeping = threading.Lock(), threading.Lock()
    done = 0

    def one(instance: Instance) -> None:
        nonlocal done
        if instance.instance_id not in records:
            record = _one(instance, solve, settings, solving)
            with keeping:
                records.add(instance.instance_id, record)
        with keeping:
            done += 1
            progress(done, len(instances), _grade(records[instance.instance_id]))

    with ThreadPoolExecutor(settings.workers) as pool:
        list(pool.map(one, instances))
    kept = {instance.instance_id: records[instance.instance_id] for instance in instances}
    write_predictions(
        results.with_suffix(".predictions.jsonl"), settings.name, {key: row["patch"] for key, row in kept.items()}
    )
    return _report(settings, kept)


def grade_officially(predictions: Path, dataset: Path, name: str, workers: int) -> dict[str, Any]:
    """Have the official harness grade predictions. Raises PeerError when it is not to be had or fails."""
    if shutil.which("docker") is None or importlib.util.find_spec("swebench") is None:
        raise PeerError("the official grader needs Docker and the swebench package; use --grader local without them")
    with tempfile.TemporaryDirectory(prefix="inhouse-swebench-") as folder:
        command = [
            sys.executable, "-m", "swebench.harness.run_evaluation", "--dataset_name", str(dataset.resolve()),
            "--predictions_path", str(predictions.resolve()), "--run_id", "inhouse", "--max_workers", str(workers),
        ]  # fmt: skip
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        reports = list(Path(folder).glob(f"{name.replace('/', '__')}.inhouse.json"))
        if done.returncode or not reports:
            raise PeerError(f"the official grader failed: {done.stderr.strip()[-300:]}; is the Docker daemon running?")
        said = json.loads(reports[0].read_text())
    return {"grader": OFFICIAL, "instances": said["total_instances"], "resolved": said["resolved_instances"]}


def _one(instance: Instance, solve: Solver, settings: Settings, solving: threading.Lock) -> dict[str, Any]:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="inhouse-swebench-") as name:
        scratch = Path(name)
        attempt, solved = Attempt(""), started
        try:
            clone = clone_of(instance, settings.clones)
            prepare(instance, clone, scratch / "task")
            with solving:
                begun = time.monotonic()
                attempt = solve(instance, scratch / "task")
                solved = time.monotonic()
            seconds = solved - begun
            graded = grade(instance, attempt.patch, clone, settings.python, scratch, settings.timeout)
        except InhouseError as error:
            seconds = solved - started
            graded = Grade("cannot be graded", said=str(error))
    return {**asdict(attempt), "solve_seconds": round(seconds, 2), "grade": asdict(graded)}


def _grade(record: Mapping[str, Any]) -> Grade:
    row = record["grade"]
    return Grade(row["kind"], tuple(row["failed"]), row["said"], row["seconds"])


def _report(settings: Settings, kept: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    grades = {key: _grade(row) for key, row in kept.items()}
    return {
        "model": settings.name,
        "grader": LOCAL,
        "instances": len(kept),
        "resolved": sum(grade.kind == "resolved" for grade in grades.values()),
        "resolved_rate": resolved_rate(grades.values()),
        "classes": dict(Counter(grade.kind for grade in grades.values())),
        "tokens": sum(row["tokens"] for row in kept.values()),
        "solve_seconds": round(sum(row["solve_seconds"] for row in kept.values()), 2),
        "grade_seconds": round(sum(grade.seconds for grade in grades.values()), 2),
        "by_instance": {key: grade.kind for key, grade in grades.items()},
    }
