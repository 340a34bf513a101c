"""Services: the rows that outlive the files, kept in step with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from fastdeploy_bot import store
from fastdeploy_bot.core.deploying import deployments
from fastdeploy_bot.core.files.catalogue import Entry
from fastdeploy_bot.core.people import audit, tokens
from fastdeploy_bot.core.telling import changes
from fastdeploy_bot.errors import NotFound
from fastdeploy_bot.store.models import Deployment, Service
from fastdeploy_bot.words import OPEN_STATES, Principal

NO_ROW: Final = 0
"""The id of a service whose file is newer than the rows; no row has it."""
_OF_REPOSITORY: Final = store.Prepared[Service](
    lambda repository_id, name: Service.select().where(
        (Service.repository_id == repository_id) | (Service.repository == name), Service.removed.is_null()
    )
)
_PIN: Final = store.Prepared[Service](
    lambda repository_id, name: Service.update(repository_id=repository_id).where(
        Service.repository == name, Service.repository_id.is_null()
    )
)
_last_named: tuple[Mapping[str, Entry], dict[str, list[str]]] = ({}, {})
"""What `_named_by` was asked last, and its answer."""
_BY_ID: Final = store.Prepared[Service](lambda number: Service.select().where(Service.id == number))
_NAMES: Final = store.Prepared[Service](lambda: Service.select(Service.id, Service.name))


class Sync(msgspec.Struct, frozen=True):
    """What a look at the service files found."""

    added: list[str]
    changed: list[str]
    removed: list[str]
    refused: dict[str, str]
    """By service: what is wrong with its file."""

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)


def sync(entries: Mapping[str, Entry], *, by: Principal | None = None, now: int) -> Sync:
    """Bring the rows in step with the files; a removed service loses its tokens and what was queued for it.

    `by` is who asked for it; None where the bot looks by itself.
    """

    def bring() -> Sync:
        found = _sync(entries, now)
        if by is not None:
            audit.note(by, "sync", "services", now=now, detail=_told(found))
        return found

    return store.write(bring)


def living() -> set[str]:
    """The names of all services that were not removed."""
    return {service.name for service in Service.select().where(Service.removed.is_null())}


def everything(entries: Mapping[str, Entry]) -> list[Service]:
    """Every living service as its file says now, by name, also where that is newer than the row; nothing is written."""
    rows = {service.name: service for service in Service.select()}
    shown = {name: _as_of(entry, rows.get(name)) for name, entry in entries.items()}
    shown |= {name: row for name, row in rows.items() if row.removed is None and name not in entries}
    return [shown[name] for name in sorted(shown)]


def shown(name: str, entries: Mapping[str, Entry]) -> Service:
    """The service of that name as its file says now, removed ones too; nothing is written. Raises NotFound."""
    entry = entries.get(name)
    return find(name) if entry is None else _as_of(entry, Service.get_or_none(Service.name == name))


def names() -> dict[int, str]:
    """What every service is called, removed ones too, by its row's id."""
    return dict(_NAMES.tuples())


def find(name: str) -> Service:
    """The service of that name, removed ones too. Raises NotFound."""
    service = Service.get_or_none(Service.name == name)
    if service is None:
        raise NotFound(f"there is no service {name!r}: `fastdeploy services` lists them")
    return service


def of_deployment(deployment: Deployment) -> Service:
    """The service of a deployment, whose row has it at hand from now on."""
    [service] = _BY_ID.all(deployment.service_id)
    deployment.service = service
    return service


def named(name: str, entries: Mapping[str, Entry], *, now: int) -> Service:
    """The service of that name, from its file where that is newer than the rows. To be called inside a write.

    Raises NotFound where there is neither file nor row.
    """
    entry = entries.get(name)
    return find(name) if entry is None else of(entry, now=now)


def of(entry: Entry, *, now: int) -> Service:
    """The row of a service file, made or corrected where needed. To be called inside a write."""
    return _in_step(entry, Service.get_or_none(Service.name == entry.name), now)


def _in_step(entry: Entry, service: Service | None, now: int) -> Service:
    if service is None:
        service = Service.create(name=entry.name, repository=_repository(entry, ""), problem=entry.problem, created=now)
        changes.of_service(service.id)
        return service
    repository = service.repository
    if _apply(service, entry):
        service.save()
        changes.of_service(service.id)
    if service.repository != repository:
        why = f"service {service.name} is of another repository now: {service.repository}"
        deployments.stop_unchecked(service, why=why, now=now)
    return service


def mapped_to(repository: str, repository_id: int, entries: Mapping[str, Entry], *, now: int) -> list[Service]:
    """The living services of a repository, by its name or its pinned id, in the order of their names.

    One whose file is away for the moment is among them: editors and git take files away and put them back.
    Pins the id to those that have not seen one. To be called inside a write.
    """
    named = repository.lower()
    rows = {service.name: service for service in _OF_REPOSITORY.all(repository_id, named)}
    for name in sorted(rows.keys() | _named_by(entries).get(named, ())):
        if name not in rows:
            rows[name] = of(entries[name], now=now)
        elif name in entries:
            _in_step(entries[name], rows[name], now)
    for row in rows.values():
        if row.repository == named and row.repository_id is None:
            pin(repository, repository_id)
            row.repository_id = repository_id
    return [
        rows[name]
        for name in sorted(rows)
        if repository_id == rows[name].repository_id or named == rows[name].repository
    ]


def _named_by(entries: Mapping[str, Entry]) -> Mapping[str, Sequence[str]]:
    """The names of those whose files name a repository, by its name; found once for what one look found."""
    global _last_named
    of, found = _last_named
    if of is not entries:
        found = {}
        for name, entry in entries.items():
            found.setdefault(_repository(entry, ""), []).append(name)
        _last_named = entries, found
    return found


def pin(repository: str | None, repository_id: int | None) -> None:
    """Pin a repository's id to the services of that name that have not seen one. To be called inside a write."""
    if repository is None or repository_id is None:
        return
    _PIN.run(repository_id, repository.lower())


def _as_of(entry: Entry, service: Service | None) -> Service:
    """A service for those who only look: of one that has no row yet, no other row tells anything."""
    if service is None:
        return Service(id=NO_ROW, name=entry.name, repository=_repository(entry, ""), problem=entry.problem)
    _apply(service, entry)
    return service


def _told(found: Sync) -> str:
    changes = {"added": found.added, "changed": found.changed, "removed": found.removed}
    return "; ".join(f"{what} {', '.join(names)}" for what, names in changes.items() if names)


def _sync(entries: Mapping[str, Entry], now: int) -> Sync:
    known = {service.name: service for service in Service.select()}
    present = {name for name, service in known.items() if service.removed is None}
    changed = [name for name, entry in entries.items() if name in present and _differs(known[name], entry)]
    for entry in entries.values():
        of(entry, now=now)
    removed = sorted(present - entries.keys())
    for name in removed:
        _remove(known[name], now)
    return Sync(
        added=sorted(entries.keys() - present),
        changed=changed,
        removed=removed,
        refused={name: entry.problem for name, entry in entries.items() if entry.file is None},
    )


def _remove(service: Service, now: int) -> None:
    service.removed = now
    service.save()
    changes.of_service(service.id)
    tokens.revoke_all(service, now=now)
    queued = Deployment.select().where(Deployment.service == service, Deployment.state.in_(OPEN_STATES))
    for deployment in list(queued):
        deployments.stop(deployment, why=f"service {service.name} was removed", now=now)


def _differs(service: Service, entry: Entry) -> bool:
    return service.problem != entry.problem or service.repository != _repository(entry, service.repository)


def _apply(service: Service, entry: Entry) -> bool:
    """Whether the row had to change."""
    if service.removed is None and not _differs(service, entry):
        return False
    repository = _repository(entry, service.repository)
    if service.repository != repository:
        service.repository_id = None
    service.repository = repository
    service.problem = entry.problem
    service.removed = None
    return True


def _repository(entry: Entry, known: str) -> str:
    """The repository that a service is mapped to; a bad file changes none that is known."""
    return known or entry.named.lower() if entry.file is None else entry.file.repository.lower()
