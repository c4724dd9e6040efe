"""Fuzzing of every call with a coverage-guided fuzzer, where atheris is installed::

    python -m tests.server.fuzz_calls -max_total_time=60

The first byte of an input chooses the call, the rest is its request; `test_hostile_input.py` draws requests itself.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

from google.protobuf.message_factory import GetMessageClass


def main() -> None:
    """Serve a real centre in this process, and fuzz it through a socket."""
    import atheris

    with atheris.instrument_imports(include=["mpi"]):
        from tests.server.test_hostile_input import METHODS, fuzzed_centre, served, tell

    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder, fuzzed_centre(Path(folder)) as centre:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for number, method in enumerate(METHODS):
            request = GetMessageClass(method.input_type)().SerializeToString()
            (corpus / method.full_name).write_bytes(bytes([number]) + request)

        def call(content: bytes) -> None:
            method = METHODS[content[0] % len(METHODS)] if content else METHODS[0]
            tell(centre, method, content[1:])
            if not content:
                served(centre.other)

        atheris.Setup([*sys.argv, "-max_len=4096", str(corpus)], call)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
