"""Check runs, which are for Apps alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from fakehub.statuses import require_web
from fakehub.wire import CLIENT_ID, TOKEN, Answer, Area, Handler, Json, Refused, Request, a_page, answered

STATUSES: Final = ("queued", "in_progress", "completed")
CONCLUSIONS: Final = frozenset(
    {"action_required", "cancelled", "failure", "neutral", "success", "skipped", "timed_out"}
)
MOST_CHARACTERS: Final = 65_535
OWN_SUITE: Final = 9_000


class CheckRuns(Area):
    """They stand in the hub's `check_runs`, oldest first, each as GitHub shows it."""

    def routes(self) -> Mapping[str, Handler]:
        """Creating, changing and listing them."""
        return {
            "POST /repos/{repository}/check-runs": self._create,
            "PATCH /repos/{repository}/check-runs/{number}": self._change,
            "GET /repos/{repository}/commits/{sha}/check-runs": self._list,
        }

    def _create(self, request: Request, found: re.Match[str]) -> Answer:
        self._require_app(found["repository"], request)
        body = request.body
        if not re.fullmatch(r"[0-9a-f]{40}", body["head_sha"]):
            raise Refused(422, f"No commit found for SHA: {body['head_sha']}")
        _require_fitting(body)
        with self.hub.lock:
            run = {
                "id": len(self.hub.check_runs) + 9_001,
                "name": body["name"],
                "head_sha": body["head_sha"],
                "external_id": body.get("external_id", ""),
                "details_url": body.get("details_url", ""),
                "app": {"id": 1234, "client_id": CLIENT_ID, "slug": "fastdeploy"},
                "check_suite": {"id": OWN_SUITE},
                "repository": found["repository"].lower(),
                "statuses": [],
                "annotations": [],
            }
            self.hub.check_runs.append(run)
            _let_be(run, body)
        return answered(_shown(run), 201)

    def _change(self, request: Request, found: re.Match[str]) -> Answer:
        self._require_app(found["repository"], request)
        _require_fitting(request.body)
        with self.hub.lock:
            mine = [each for each in self.hub.check_runs if each["repository"] == found["repository"].lower()]
            run = next((each for each in mine if str(each["id"]) == found["number"]), None)
            if run is None:
                raise Refused(404, "Not Found")
            _let_be(run, request.body)
        return answered(_shown(run))

    def _list(self, request: Request, found: re.Match[str]) -> Answer:
        self.hub.require(found["repository"], request.bearer, checks="read")
        with self.hub.lock:
            mine = [
                each
                for each in reversed(self.hub.check_runs)
                if (each["repository"], each["head_sha"]) == (found["repository"].lower(), found["sha"])
                and each["name"] == request.query.get("check_name", each["name"])
            ]
        if request.query.get("filter", "latest") == "latest":
            newest = {(each["check_suite"]["id"], each["name"]): each for each in reversed(mine)}
            mine = sorted(newest.values(), key=lambda each: -each["id"])
        return a_page(request, "check_runs", [_shown(each) for each in mine])

    def _require_app(self, repository: str, request: Request) -> None:
        if request.bearer == TOKEN:
            raise Refused(403, "You must authenticate via a GitHub App.")
        self.hub.require(repository, request.bearer, checks="write")


def _require_fitting(body: Json) -> None:
    """As GitHub describes it, beyond what its description of the API says."""
    status, conclusion = body.get("status", "queued"), body.get("conclusion")
    if status not in STATUSES:
        raise Refused(422, "Validation Failed", f"status: {status}")
    if (status == "completed") != (conclusion in CONCLUSIONS) or (conclusion is None) == ("completed_at" in body):
        raise Refused(422, "Validation Failed", f"{status} with the conclusion {conclusion}")
    if "completed_at" in body and datetime.fromisoformat(body["completed_at"]) < datetime.fromisoformat(
        body["started_at"]
    ):
        raise Refused(422, "Validation Failed", "completed_at is before started_at")
    require_web(body, "details_url")
    _require_output(body.get("output", {}))
    if len(body.get("actions", [])) > 3:
        raise Refused(422, "Validation Failed", "too many actions")
    for action in body.get("actions", []):
        if len(action["label"]) > 20 or len(action["description"]) > 40 or len(action["identifier"]) > 20:
            raise Refused(422, "Validation Failed", f"action: {action}")


def _require_output(output: Json) -> None:
    if len(output.get("title", "")) > 255:
        raise Refused(422, "Validation Failed", "title is too long")
    if any(len(output.get(name, "").encode()) > MOST_CHARACTERS for name in ("summary", "text")):
        raise Refused(422, "Validation Failed", "exceeds a maximum bytesize of 65535")
    places = output.get("annotations", [])
    if len(places) > 50:
        raise Refused(422, "Validation Failed", "No more than 50 annotations")
    for each in places:
        if (
            each["path"].startswith("/")
            or ".." in each["path"].split("/")
            or not 0 < each["start_line"] <= each["end_line"]
        ):
            raise Refused(422, "Validation Failed", f"annotation: {each}")


def _let_be(run: Json, body: Json) -> None:
    """What is not said stays; annotations are added."""
    run |= {name: body[name] for name in ("started_at", "completed_at", "actions", "conclusion") if name in body}
    run["status"] = body.get("status", run.get("status", "queued"))
    output = body.get("output", {})
    run["annotations"] = run["annotations"] + output.get("annotations", [])
    run["output"] = run.get("output", {}) | {
        name: output[name] for name in ("title", "summary", "text") if name in output
    }
    run["statuses"] = [*run["statuses"], run.get("conclusion") or run["status"]]


def _shown(run: Json) -> Json:
    output = {"title": None, "summary": None, "text": None, **run["output"]}
    hidden = ("repository", "statuses", "annotations")
    return {name: value for name, value in run.items() if name not in hidden} | {
        "output": output | {"annotations_count": len(run["annotations"])},
    }
