"""Where models live on disk: the catalogue, download, checksum, list, remove."""

from inhouse.store.catalogue import CATALOGUE, Entry, Hub, Packages, Part, find, propose
from inhouse.store.packed import PackedCopies, PackedCopy
from inhouse.store.progress import Progress, Step
from inhouse.store.store import Installed, Store, default_root, resolve

__all__ = [
    "CATALOGUE",
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
    "resolve",
]
