"""Write the Python stubs of `protos/` into `mpi/v1`, or with --check say whether they are fresh.

Usage: python protos/generate.py [--check]
"""

import filecmp
import subprocess
import sys
import tempfile
from pathlib import Path

PROTOS = Path(__file__).resolve().parent
ROOT = PROTOS.parent
INIT = '"""Generated from protos/mpi/v1 by protos/generate.py; never edited by hand."""\n'


def generate(out: Path) -> None:
    """Run protoc with the Python, gRPC and type-stub plugins, writing below `out`."""
    files = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    plugin = Path(sys.executable).parent / "protoc-gen-mypy"
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        f"--proto_path={PROTOS}",
        f"--plugin=protoc-gen-mypy={plugin}",
        f"--python_out={out}",
        f"--grpc_python_out={out}",
        f"--mypy_out=quiet:{out}",
        *files,
    ]
    subprocess.run(command, check=True)
    # Files without a service get an empty gRPC module; nobody imports it.
    for path in out.glob("mpi/v1/*_pb2_grpc.py"):
        if "_service_" not in path.name:
            path.unlink()
    (out / "mpi/v1/__init__.py").write_text(INIT)


def main() -> int:
    """Generate in place, or compare a fresh generation with what is committed."""
    if "--check" not in sys.argv[1:]:
        generate(ROOT)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        (fresh / "mpi/v1").mkdir(parents=True)
        generate(fresh)
        committed = {path.name for path in (ROOT / "mpi/v1").glob("*.py*")}
        names = sorted(committed | {path.name for path in (fresh / "mpi/v1").iterdir()})
        _, changed, missing = filecmp.cmpfiles(fresh / "mpi/v1", ROOT / "mpi/v1", names, shallow=False)
    for name in [*changed, *missing]:
        print(f"stale: mpi/v1/{name}; run: python protos/generate.py", file=sys.stderr)
    return 1 if changed or missing else 0


if __name__ == "__main__":
    sys.exit(main())
