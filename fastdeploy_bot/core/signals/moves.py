"""Moves: a repository got another name or owner. Services know theirs by its id, so that they go on."""

from __future__ import annotations

from fastdeploy_bot.core.signals.notices import Notice
from fastdeploy_bot.store.models import Service


def follow(notice: Notice) -> str:
    """A repository was renamed or transferred; answers what that means here. Inside the write that keeps the event."""
    webhook = notice.webhook
    if webhook.repository is None or webhook.repository_id is None:
        return "nothing is done: its payload says too little"
    mine = Service.select().where(Service.repository_id == webhook.repository_id, Service.removed.is_null())
    services = [service for service in mine.order_by(Service.name) if notice.covers(service.repository)]
    if not services:
        return f"no service is mapped to {webhook.repository}"
    behind = [service for service in services if service.repository != webhook.repository.lower()]
    told = (
        f"{_named(services)} known by its id {webhook.repository_id}: pushes to {webhook.repository} deploy as before"
    )
    if not behind:
        return told
    files = " and ".join(f"services/{service.name}/service.toml" for service in behind)
    return f'{told}; say repository = "{webhook.repository}" in {files}'


def _named(services: list[Service]) -> str:
    names = ", ".join(service.name for service in services)
    return f"the repository of service{'s' if len(services) > 1 else ''} {names} is"
