"""The import map, drawn from the imports as they stand in the source; an arrow backwards fails."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "mpi"
GENERATED = "v1"
SHARED = {"errors", "domain", "rules", "keyfiles"}
CENTRE = SHARED | {"at_rest"}

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "domain": {"errors"},
    "rules": {"errors", "domain"},
    "keyfiles": {"errors", "domain"},
    "protowire": set(),
    "at_rest": {"errors", "keyfiles"},
    "config": {"errors", "domain"},
    "encoder": SHARED,
    "linkage": SHARED,
    "store": CENTRE | {"linkage"},
    "index": CENTRE | {"protowire", "linkage", "store"},
    "audit": {"errors", "domain", "keyfiles"},
    "service": CENTRE | {"linkage", "store", "index"},
    "wire": {"errors", "domain", "protowire", GENERATED},
    "coalescing": set(),
    "feed": {"errors", "domain", "wire"},
    "testing": {"errors", "config", "client", "encoder", "server"},
    "client": {"errors", "domain", "coalescing", "feed", "wire", GENERATED},
    "server": CENTRE - {"keyfiles"} | {"config", "store", "index", "audit", "service", "wire", GENERATED},
    "web": {"errors", "domain", "client"},
    "batch": {"errors", "domain", "rules", "linkage", "encoder"},
    "__init__": {"client"},
    "__main__": {"cli"},
}
"""What each part may import besides itself; `cli` joins the parts and may import every one of them."""

SERVER_SIDE = {"service", "server", "store", "index", "audit", "linkage", "wire", GENERATED}
SERVER_PACKAGES = {"grpc", "grpc_status", "grpc_health", "grpc_reflection", "sqlalchemy", "lmdb"}
HEAVY_PACKAGES = ("pandas", "recordlinkage", "pyarrow", "pythainlp", "onnxruntime")

Arrow = tuple[str, str, str]
"""Part that imports, part (or foreign package) that is imported, and where."""


def sources() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).parts[0] != GENERATED]


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(node: ast.AST) -> Iterator[str]:
    """Dotted names that an import statement brings in; a relative import is spelt with its dots."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = "." * node.level + (node.module or "")
        yield from (f"{base}.{alias.name}" for alias in node.names)


def arrows() -> Iterator[Arrow]:
    """Imports of the project's parts by each other, those inside functions and for type checkers included."""
    for path, name, line in statements():
        head, _, rest = name.partition(".")
        if head == "mpi":
            target = rest.partition(".")[0]
            if (PACKAGE / target).is_dir() or (PACKAGE / f"{target}.py").is_file():
                yield part_of(path), target, f"{path.relative_to(ROOT)}:{line}"
            else:  # a name of the package itself, as in `from mpi import Client`
                yield part_of(path), "__init__", f"{path.relative_to(ROOT)}:{line}"


def statements() -> Iterator[tuple[Path, str, int]]:
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
            for name in imported(node):
                yield path, name, getattr(node, "lineno", 0)


def test_no_arrow_points_backwards() -> None:
    """Every part imports only what the map allows it."""
    wrong = [
        f"{where}: {part} imports {target}"
        for part, target, where in arrows()
        if part not in (target, "cli") and target not in MAY_IMPORT.get(part, set())
    ]
    assert wrong == []


def test_every_part_is_on_the_map() -> None:
    """A new package or module at the top must be given its place on the map, and none on it is gone."""
    assert {part_of(path) for path in sources()} == {*MAY_IMPORT, "cli"}


def test_the_map_has_no_circle() -> None:
    """Parts can be put in an order in which each imports only earlier ones."""
    left = {part: set(targets) - {GENERATED} for part, targets in MAY_IMPORT.items() if part != "__main__"}
    while left:
        free = {part for part, targets in left.items() if not targets & left.keys()}
        assert free, f"a circle among {sorted(left)}"
        left = {part: targets for part, targets in left.items() if part not in free}


def test_nothing_imports_the_command_line() -> None:
    """Only `python -m mpi` and the commands themselves import mpi.cli."""
    assert {part for part, target, _ in arrows() if target == "cli"} <= {"cli", "__main__"}


def test_facility_side_and_centre_do_not_know_each_other() -> None:
    """The encoder imports nothing of the centre, and nothing of the centre imports the encoder."""
    seen = list(arrows())
    assert [arrow for arrow in seen if arrow[0] == "encoder" and arrow[1] in SERVER_SIDE] == []
    assert [arrow for arrow in seen if arrow[0] in SERVER_SIDE and arrow[1] == "encoder"] == []
    foreign = {name.partition(".")[0] for path, name, _ in statements() if part_of(path) == "encoder"}
    assert foreign & SERVER_PACKAGES == set()


def test_only_the_bootstrap_joins_the_centre() -> None:
    """The rest of the server knows use cases by protocol alone, so it can be tested and replaced without them."""
    joined = {where.partition(":")[0] for part, target, where in arrows() if part == "server" and target in
              {"service", "store", "index", "audit", "linkage", "rules"}}  # fmt: skip
    assert joined == {"mpi/server/bootstrap.py"}


def test_the_parts_of_the_client_do_not_know_each_other() -> None:
    """Each holds some of the calls, over the channel and streams that they share; only the package joins them."""
    shared = {"addresses", "channel", "frames", "hedging", "stream"}
    known = {
        (path.stem, name.split(".")[2])
        for path, name, _ in statements()
        if part_of(path) == "client" and path.stem != "__init__" and name.startswith("mpi.client.")
    }
    assert ("lookups", "channel") in known
    assert {(part, other) for part, other in known if other not in shared} == set()


def test_no_relative_imports() -> None:
    """Imports are absolute, so that the map sees all of them."""
    assert [f"{path}:{line}" for path, name, line in statements() if name.startswith(".")] == []


def loaded(module: str) -> set[str]:
    """Top-level packages that are loaded once `module` has been imported in a fresh process."""
    code = f"import sys, {module}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("module", "present", "absent"),
    [
        ("mpi.server.bootstrap", {"grpc", "lmdb", "sqlalchemy"}, set(HEAVY_PACKAGES)),
        ("mpi.encoder.encoder", {"numpy"}, SERVER_PACKAGES | {"google"}),
        ("mpi.client", {"grpc"}, {"lmdb", "sqlalchemy", *HEAVY_PACKAGES}),
        ("mpi.web.app", {"grpc", "starlette"}, {"lmdb", "numpy", "sqlalchemy", *HEAVY_PACKAGES}),
        ("mpi.cli.main", {"typer"}, {"numpy", *SERVER_PACKAGES, *HEAVY_PACKAGES}),
        ("mpi", set(), {"numpy", "cryptography", *SERVER_PACKAGES, *HEAVY_PACKAGES}),
    ],
)
def test_importing_loads_no_more_than_is_needed(module: str, present: set[str], absent: set[str]) -> None:
    """Each side starts without the packages of the other."""
    packages = loaded(module)
    assert present <= packages
    assert packages & absent == set()
