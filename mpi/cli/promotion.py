"""`mpi rules promote` and `mpi rules rollback`: which rules a centre goes by, and the way back.

The settings name the rules; servers read them at their start. What was promoted stands beside the settings, a line
each, with the digests of the models, so that a way back leads to the very rules that were left.
"""

from __future__ import annotations

import json
import re
import stat
import tomllib
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import typer

from mpi.config import load_store_config
from mpi.encoder.encoded_file import whole_file
from mpi.errors import InputRejected
from mpi.rules import Rules, load_rules, rule_file

HISTORY = ".rules.jsonl"
"""Ending of the file beside the settings that says what was promoted."""
_NO_DATA = Path("data")
"""Stands for the data folder, which the settings do not name and which is not looked at."""
_SETTING = re.compile(r"^rules[ \t]*=[^\n]*$", re.M)
_TABLE = re.compile(r"^[ \t]*\[", re.M)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the rules of a centre.

    Attributes:
        at: when, ISO 8601.
        action: "promote" or "rollback".
        rules: name or path of the rules that it led to.
        digest: digest of their model.
        left: name or path of the rules that it left.
        left_digest: digest of their model.
    """

    at: str
    action: str
    rules: str
    digest: str
    left: str
    left_digest: str


def run_promote(config: Path, new: str, *, as_json: bool) -> None:
    """Put new rules into the settings.

    Raises:
        InputRejected: the rules are of another profile or gateway, are in force already, or the settings cannot be
            written.
    """
    present, rules = _present(config)
    path = rule_file(new)
    newer = load_rules(path)
    if newer.stored_digest != rules.stored_digest or newer.profile.digest != rules.profile.digest:
        raise InputRejected("the new rules are of another profile or gateway; records would have to be encoded anew")
    if newer.model.digest == rules.model.digest:
        raise InputRejected("these rules are in force already")
    name = str(path.resolve()) if new.endswith(".toml") else new
    _step(config, Step(_now(), "promote", name, newer.model.digest, present, rules.model.digest), as_json=as_json)


def run_rollback(config: Path, *, as_json: bool) -> None:
    """Put the rules back into the settings that the last promotion left.

    Raises:
        InputRejected: the rules in force were not promoted, the earlier ones have changed since, or the settings
            cannot be written.
    """
    present, rules = _present(config)
    ahead: list[Step] = []
    for step in _steps(config):
        if step.action == "promote":
            ahead.append(step)
        elif ahead:
            ahead.pop()
    if not ahead or ahead[-1].digest != rules.model.digest:
        raise InputRejected("the rules in force were not promoted by this command; name others in the settings by hand")
    last = ahead[-1]
    if load_rules(rule_file(last.left)).model.digest != last.left_digest:
        raise InputRejected(f"{last.left} has changed since it was in force; a rule file is never edited")
    step = Step(_now(), "rollback", last.left, last.left_digest, present, rules.model.digest)
    _step(config, step, as_json=as_json)


def _present(config: Path) -> tuple[str, Rules]:
    """The rules that the settings name, as they name them and read."""
    name = load_store_config(_NO_DATA, config).rules
    return (str(Path(name).resolve()) if name.endswith(".toml") else name), load_rules(rule_file(name))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _history(config: Path) -> Path:
    return config.with_name(config.name + HISTORY)


def _steps(config: Path) -> list[Step]:
    path = _history(config)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return [Step(**json.loads(line)) for line in lines]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, RecursionError):
        raise InputRejected(f"{path} cannot be read as what was promoted") from None


def _step(config: Path, step: Step, *, as_json: bool) -> None:
    text = _with_rules(config, step.rules)
    steps = [*_steps(config), step]
    try:
        # The settings come first: a step that is told of and was not made would lead the way back astray.
        _write(config.resolve(), text)
        _write(_history(config), "".join(json.dumps(asdict(each)) + "\n" for each in steps))
    except OSError as error:
        raise InputRejected(f"{config}: cannot be written ({error.strerror})") from None
    if as_json:
        typer.echo(json.dumps(asdict(step)))
        return
    typer.echo(f"{config}: rules {step.rules}, model {step.digest}; start the servers anew")
    if step.action == "rollback":
        typer.echo(f"what the other rules decided is taken back by: mpi changes undo --rules-digest {step.left_digest}")


def _with_rules(config: Path, name: str) -> str:
    """The settings with other rules, everything else as it stands.

    Raises:
        InputRejected: the setting cannot be told apart from the rest.
    """
    text = config.read_text(encoding="utf-8")
    table = _TABLE.search(text)
    head, rest = (text, "") if table is None else (text[: table.start()], text[table.start() :])
    line = f"rules = {json.dumps(name, ensure_ascii=False)}"
    found = _SETTING.search(head)
    head = f"{line}\n{head}" if found is None else head[: found.start()] + line + head[found.end() :]
    wanted = {**tomllib.loads(text), "rules": name}
    try:
        if tomllib.loads(head + rest) == wanted:
            return head + rest
    except tomllib.TOMLDecodeError:
        pass
    raise InputRejected(f"{config}: the setting `rules` stands where it cannot be replaced; write it by hand: {line}")


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all, as readable as it was."""
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o644
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
        partial.chmod(mode)
