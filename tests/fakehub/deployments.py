"""Deployments, and the statuses of each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from fakehub.statuses import require_description, require_web
from fakehub.wire import Answer, Area, Handler, Json, Refused, Request, answered

STATES: Final = frozenset({"error", "failure", "inactive", "in_progress", "queued", "pending", "success"})


class DeploymentStatus(NamedTuple):
    """A deployment's status as it was told."""

    state: str
    description: str
    log_url: str
    environment_url: str


class Deployment(NamedTuple):
    """A deployment as it was created, with what became of it."""

    id: int
    repository: str
    sha: str
    environment: str
    production: bool
    payload: Json
    description: str
    statuses: list[DeploymentStatus]

    @property
    def state(self) -> str:
        """That of its last status; GitHub calls what has none pending."""
        return self.statuses[-1].state if self.statuses else "pending"

    @property
    def states(self) -> list[str]:
        """Those of all its statuses."""
        return [status.state for status in self.statuses]


class Deployments(Area):
    """They stand in the hub's `deployments`, oldest first."""

    def routes(self) -> Mapping[str, Handler]:
        """Creating and listing them, and giving them statuses."""
        return {
            "POST /repos/{repository}/deployments": self._create,
            "GET /repos/{repository}/deployments": self._list,
            "POST /repos/{repository}/deployments/{number}/statuses": self._tell,
        }

    def _create(self, request: Request, found: re.Match[str]) -> Answer:
        repository, body = found["repository"], request.body
        self.hub.require(repository, request.bearer, deployments="write")
        if not re.fullmatch(r"[0-9a-f]{40}", body.get("ref", "")):
            raise Refused(422, "No ref found for: " + body.get("ref", ""))
        if body.get("auto_merge", True):
            return answered({"message": "Auto-merged main into topic on deployment."}, 202)
        if body.get("required_contexts") != []:
            raise Refused(409, "Conflict: Commit status checks failed")
        environment = body.get("environment", "production")
        require_description(body)
        with self.hub.lock:
            deployment = Deployment(
                len(self.hub.deployments) + 501,
                repository.lower(),
                body["ref"],
                environment,
                body.get("production_environment", environment == "production"),
                body.get("payload", {}),
                body.get("description") or "",
                [],
            )
            self.hub.deployments.append(deployment)
        return answered(_shown(deployment), 201)

    def _list(self, request: Request, found: re.Match[str]) -> Answer:
        self.hub.require(found["repository"], request.bearer, deployments="read")
        wanted = {name: request.query[name] for name in ("sha", "environment") if name in request.query}
        with self.hub.lock:
            mine = [each for each in reversed(self.hub.deployments) if each.repository == found["repository"].lower()]
        some = [each for each in mine if all(getattr(each, name) == value for name, value in wanted.items())]
        return answered([_shown(each) for each in some[: int(request.query.get("per_page", 30))]])

    def _tell(self, request: Request, found: re.Match[str]) -> Answer:
        self.hub.require(found["repository"], request.bearer, deployments="write")
        body = request.body
        if body.get("state") not in STATES:
            raise Refused(422, "Validation Failed", "State is not included in the list")
        require_description(body)
        for name in ("log_url", "environment_url"):
            require_web(body, name)
        told = [body.get(name) or "" for name in ("description", "log_url", "environment_url")]
        with self.hub.lock:
            mine = [each for each in self.hub.deployments if each.repository == found["repository"].lower()]
            deployment = next((each for each in mine if str(each.id) == found["number"]), None)
            if deployment is None:
                raise Refused(404, "Not Found")
            if body["state"] == "success" and body.get("auto_inactive", True):
                _make_inactive(mine, deployment)
            deployment.statuses.append(DeploymentStatus(body["state"], *told))
        return answered({"id": len(deployment.statuses), "state": body["state"]}, 201)


def _make_inactive(deployments: list[Deployment], newer: Deployment) -> None:
    """As GitHub describes `auto_inactive`: earlier successes in the environment, unless that is one of production."""
    for each in deployments:
        same = each.environment.lower() == newer.environment.lower() and each.id < newer.id
        if same and not each.production and each.state == "success":
            each.statuses.append(DeploymentStatus("inactive", "", "", ""))


def _shown(deployment: Deployment) -> Json:
    return {
        "id": deployment.id,
        "sha": deployment.sha,
        "ref": deployment.sha,
        "task": "deploy",
        "environment": deployment.environment,
        "payload": deployment.payload,
    }
