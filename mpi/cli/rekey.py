"""`mpi rekey`: new keys for what the centre holds and for what arrives, while it is served."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from mpi.cli.progress import progress
from mpi.config import StoreConfig, load_gateway_config, load_store_config
from mpi.errors import ConfigInvalid, Conflict, IndexCorrupt, InputRejected


def run_at_rest(data: Path, config: Path | None, *, as_json: bool) -> None:
    """Seal store and index anew under a fresh key at rest, verify that nothing needs the old one, and destroy that.

    Raises:
        InputRejected: there is nothing to seal.
        ConfigInvalid: the keys come from a command, which does not print a second key at rest yet.
        KeyRingUnusable: the key file cannot be read or written.
        StoreUnusable: a row opens with neither key, or the database is gone; the same command goes on.
        IndexCorrupt: the new index is not right; the old key is kept.
    """
    from mpi.index.projector import rebuild, sampled
    from mpi.server.bootstrap import index_folder, keys_at_rest, open_store, opened
    from mpi.service.keys import end_at_rest
    from mpi.store.rekeying import seal_anew

    settings = load_store_config(data, config)
    if settings.database is None and not (data / "store.db").is_file():
        raise InputRejected(f"{data}: holds no store")
    newer = _fresh_key(settings)
    with open_store(settings) as store, progress("sealing", None, quiet=as_json) as shown:
        older = store.sealed_with()[0]
        if older != newer:
            seal_anew(store, older, newer, shown.step)
            store.forget()
        # Servers go on with it from the moment when it is in place.
        shown.step("making the index", 0, store.count()[0])
        rebuild(index_folder(settings), keys_at_rest(settings), store, shown)
    with opened(settings) as (store, index):
        looked_up, findings = sampled(index, store)
    if findings:
        raise IndexCorrupt(f"the new index differs from the store ({findings[0]}); run `mpi index rebuild`")
    if not settings.service_key_command:
        end_at_rest(settings.service_key, newer)
    if as_json:
        typer.echo(json.dumps({"at_rest": newer, "looked_up": looked_up}))
        return
    typer.echo(f"everything is sealed under the key at rest of epoch {newer}, which was verified row by row")
    typer.echo(f"  {looked_up} records were looked up in the new index")
    if settings.service_key_command:
        typer.echo(f"  let service_key_command print the key of {newer} alone from now on, and destroy the one before")
    else:
        typer.echo(f"  {settings.service_key} holds the key of {newer} alone: take a backup, as older ones do not open")
        typer.echo("  with it, and put the file where your copy of the old one lies")


def _fresh_key(settings: StoreConfig) -> str:
    """Name of the epoch that begins, whose key is where every server finds it."""
    from mpi.service.keys import begin_at_rest, service_keys

    if not settings.service_key_command:
        return begin_at_rest(settings.service_key).name
    keys = service_keys(settings.service_key, settings.service_key_command)
    if len(keys.at_rest) == 1:
        number = keys.at_rest[0].number
        raise ConfigInvalid(
            "service_key_command",
            f'prints one key at rest; let it print the list "at_rest": [{{"epoch": {number}, "secret": …}}, '
            f'{{"epoch": {number + 1}, "secret": …}}] with 32 fresh random bytes in base64 as the second',
        )
    return keys.at_rest[-1].name


def run_gateway(data: Path, config: Path | None, *, end: bool, as_json: bool) -> None:
    """Make a gateway key for the key epochs that facilities begin next; or end the older of two, once nothing needs it.

    Raises:
        ConfigInvalid: the keys come from a command, where they are made by hand.
        KeyRingUnusable: the key file cannot be read or written, or holds two gateway keys already.
        Conflict: records still need the older key.
        StoreUnusable: the database is gone.
    """
    from mpi.keyfiles import epoch_number
    from mpi.server.bootstrap import GATEWAY, open_store
    from mpi.service.gateway import needing_older
    from mpi.service.keys import begin_gateway, end_gateway, read_service_keys

    settings, epochs = load_gateway_config(data, config)
    if settings.service_key_command:
        raise ConfigInvalid("service_key_command", "prints the keys: add a gateway key there, or take the older away")
    with open_store(settings) as store:
        if end:
            keys = read_service_keys(settings.service_key).gateway
            with store.reading() as reading, progress("verifying", reading.count()[0], quiet=as_json) as shown:
                needing = 0
                for needs in needing_older(reading, keys):
                    needing += needs
                    shown.advance(1)
            if needing:
                raise Conflict(
                    f"{needing} records are held under key epochs before {keys[-1].since}, which need the older "
                    "gateway key: let their facilities end them with `mpi keys retire` and register once more"
                )
            kept = keys[-1:]
        else:
            begin_gateway(settings.service_key, 1 + max(map(epoch_number, epochs)))
            kept = read_service_keys(settings.service_key).gateway
        with store.rekeying(writes=True) as rekeying:
            rekeying.note(GATEWAY, " ".join(key.name for key in kept))
        if end:
            end_gateway(settings.service_key)
    since = kept[-1].since
    if as_json:
        typer.echo(json.dumps({"since": since, "gateway_keys": len(kept)}))
    elif end:
        typer.echo(f"{settings.service_key} holds one gateway key, for the key epochs from {since} on")
    else:
        typer.echo(f"what facilities encode under their key epoch {since} will be re-keyed with a fresh gateway key")
        typer.echo("  copy the key file to every host of the centre; then facilities may begin that epoch with")
        typer.echo("  `mpi keys rotate`, and its name goes into `key_epochs`")
