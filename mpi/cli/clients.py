"""`mpi clients`: what the centre decides about clients; servers act on it within a second."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from mpi.domain.access import ClientRule, Role
from mpi.domain.purpose import PurposeOfUse
from mpi.errors import ConfigInvalid

clients_app = typer.Typer(help="Which clients may call, and for what.", no_args_is_help=True)

Urn = Annotated[str, typer.Argument(help="Name of the client, as in its certificate.", metavar="URN")]
Data = Annotated[Path, typer.Option("--data", help="Folder of the store and the index.", metavar="DIR")]
Config = Annotated[Path | None, typer.Option("--config", help="Settings, a TOML file.", metavar="FILE")]
AsJson = Annotated[bool, typer.Option("--json", help="Print figures for a script instead of for a person.")]

EVERY = "every"
NONE = "none"

Word = TypeVar("Word", bound=StrEnum)


@clients_app.command("list", epilog="Example: mpi clients list --data data --config mpi.toml")
def list_clients(data: Data, config: Config = None, as_json: AsJson = False) -> None:
    """List the clients about which something was decided; every other one may do what its role allows."""
    from mpi.config import load_store_config
    from mpi.server.bootstrap import open_store

    with open_store(load_store_config(data, config)) as store, store.reading() as reading:
        rules = reading.clients()
    if as_json:
        typer.echo(json.dumps([_figures(rule) for rule in rules]))
        return
    for rule in rules:
        typer.echo(_line(rule))
    if not rules:
        typer.echo("nothing was decided about any client: each may do what its role allows")


@clients_app.command("suspend", epilog="Example: mpi clients suspend urn:mpi:exchange:cdes --data data")
def suspend(urn: Urn, data: Data, config: Config = None, as_json: AsJson = False) -> None:
    """Let a client call nothing, until it is allowed again."""
    _decide(data, config, urn, as_json, suspended=True)


@clients_app.command(
    "allow", epilog="Example: mpi clients allow urn:mpi:exchange:cdes --purpose TREAT --purpose ETREAT --data data"
)
def allow(
    urn: Urn,
    data: Data,
    config: Config = None,
    purpose: Annotated[
        list[str] | None,
        typer.Option(help="The only purposes of use that it may claim; `every` for all. Left out: as before."),
    ] = None,
    role: Annotated[
        list[str] | None,
        typer.Option(help="Roles that it has besides the one in its name; `none` for none. Left out: as before."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let a client call, and say which purposes it may claim and which further roles it has."""
    every = purpose == [EVERY]
    _decide(
        data,
        config,
        urn,
        as_json,
        suspended=False,
        roles=None if role is None else frozenset() if role == [NONE] else _words(Role, "--role", role),
        purposes=None if purpose is None or every else _words(PurposeOfUse, "--purpose", purpose),
        every_purpose=every,
    )


def _decide(
    data: Path,
    config: Path | None,
    urn: str,
    as_json: bool,
    *,
    suspended: bool,
    roles: frozenset[Role] | None = None,
    purposes: frozenset[PurposeOfUse] | None = None,
    every_purpose: bool = False,
) -> None:
    from mpi.config import load_store_config
    from mpi.server.bootstrap import open_store
    from mpi.service.clients import decide

    with open_store(load_store_config(data, config)) as store:
        rule = decide(store, urn, suspended=suspended, roles=roles, purposes=purposes, every_purpose=every_purpose)
    typer.echo(json.dumps(_figures(rule)) if as_json else _line(rule))


def _words(kind: type[Word], setting: str, words: list[str]) -> frozenset[Word]:
    try:
        return frozenset(kind(word) for word in words)
    except ValueError:
        raise ConfigInvalid(setting, f"is one of {', '.join(kind)}") from None


def _figures(rule: ClientRule) -> dict[str, object]:
    return {
        "client": rule.urn,
        "suspended": rule.suspended,
        "roles": sorted(rule.roles),
        "purposes": None if rule.purposes is None else sorted(rule.purposes),
    }


def _line(rule: ClientRule) -> str:
    purposes = EVERY if rule.purposes is None else ", ".join(sorted(rule.purposes)) or NONE
    roles = ", ".join(sorted(rule.roles)) or NONE
    return f"{rule.urn}  {'suspended' if rule.suspended else 'allowed'}  purposes: {purposes}  further roles: {roles}"
