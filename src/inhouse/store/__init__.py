"""Where models live on disk: the catalogue, download, checksum, list, remove; and data sets."""

from inhouse.store.catalogue import CATALOGUE, DATA_SETS, DataSet, Entry, Hub, Packages, Part, find, propose
from inhouse.store.datasets import pull_data_set
from inhouse.store.packed import PackedCopies, PackedCopy
from inhouse.store.progress import Progress, Step
from inhouse.store.store import Installed, Store, default_root, resolve

__all__ = [
    "CATALOGUE",
    "DATA_SETS",
    "DataSet",
    "Entry",
    "Hub",
    "Installed",
    "Packages",
    "PackedCopies",
    "PackedCopy",
    "Part",
    "Progress",
    "Step",
    "Store",
    "default_root",
    "find",
    "propose",
    "pull_data_set",
    "resolve",
]
