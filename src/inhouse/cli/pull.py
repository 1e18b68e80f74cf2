"""`inhouse pull`: fetch a model, or SWE-bench's data and repositories. The one command that uses the network."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

from inhouse.cli.common import Subparsers, command, confirm, gigabytes, home, store
from inhouse.cli.meter import Meter
from inhouse.errors import ParameterError
from inhouse.store import DATA_SETS, DataSet, Entry, Progress, Step, find, propose, pull_data_set

_WORDS = {"waiting": "waits for another pull", "fetching": "fetching", "checking": "checking"}


def add_parser(subparsers: Subparsers) -> None:
    parser = command(
        subparsers,
        "pull",
        "Fetch a model of the catalogue, check it and keep it. May be interrupted in any way: the next pull goes on "
        "from there. Without a name, the model that suits this machine's memory is proposed. What `inhouse eval "
        f"swebench` needs is fetched by the names {', '.join(DATA_SETS)}.",
        "inhouse pull\ninhouse pull starter\ninhouse pull qwen3.6-35b-a3b\nINHOUSE_HOME=/big/disk inhouse pull --yes\n"
        "inhouse pull swe-bench-verified\n"
        "inhouse pull swe-bench-verified --repos clones --instances psf__requests-5414",
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help="see `inhouse models`")
    parser.add_argument("-y", "--yes", action="store_true", help="take the proposed model without asking")
    group = parser.add_argument_group("of SWE-bench")
    group.add_argument("--repos", type=Path, metavar="DIR", help="clone the repositories that are not there yet, too")
    group.add_argument("--instances", nargs="+", default=[], metavar="ID", help="only the repositories of these")


def run(args: argparse.Namespace) -> int:
    models = store()
    if args.name not in DATA_SETS and (args.repos or args.instances):
        raise ParameterError(f"--repos and --instances go with a data set: {', '.join(DATA_SETS)}")
    known: dict[str, Entry | DataSet] = {**models.catalogue, **DATA_SETS}
    entry = find(args.name, known) if args.name else _proposed(args.yes)
    if entry is None:
        return 1
    if isinstance(entry, DataSet):
        folder = home() / "datasets"
        here = (folder / f"{entry.name}.jsonl").exists()
        path = _shown(entry.name, lambda progress: pull_data_set(entry, folder, progress))
    else:
        here = models.has(entry.name)
        path = _shown(entry.name, lambda progress: models.pull(entry.name, progress))
    print(f"{entry.name} {'was here already' if here else 'is here'}: {path}", file=sys.stderr)
    if args.repos is not None:
        _clone(path, args.instances, args.repos)
    return 0


def _shown(name: str, pull: Callable[[Progress], Path]) -> Path:
    """What a pull returns; how far it is is shown meanwhile."""
    with Meter("bytes") as meter:

        def show(step: Step) -> None:
            meter.update(f"{name}: {_WORDS[step.what]}", step.done, step.total)

        try:
            return pull(show)
        except KeyboardInterrupt:
            meter.stop()
            print(f"\nstopped; `inhouse pull {name}` goes on from here", file=sys.stderr)
            raise


def _clone(path: Path, wanted: list[str], folder: Path) -> None:
    """The repositories of a data set's instances, those that are not in `folder` yet."""
    from inhouse.evals.swebench import clone, load_instances, without_clone  # half a second that models need not wait

    missing = without_clone(load_instances(path, wanted), folder)
    for number, repository in enumerate(missing, 1):
        print(f"cloning {repository} ({number} of {len(missing)})", file=sys.stderr)
        clone(repository, folder)
    print(f"all repositories are in {folder}", file=sys.stderr)


def _proposed(yes: bool) -> Entry | None:
    """The model for this machine, if the user takes it."""
    memory = psutil.virtual_memory().total
    entry = propose(memory)
    print(f"This machine has {gigabytes(memory)} of memory; what suits it is {entry.name}:", file=sys.stderr)
    print(f"  {entry.title} ({gigabytes(entry.size)}, {entry.license})", file=sys.stderr)
    return entry if confirm(f"Fetch {entry.name}?", yes) else None
