"""Reaching: whether a commit is part of what a service's branches and tags name; GitHub knows those of forks as well.

What the rows do not tell is asked of GitHub, and whoever wants to deploy the commit waits for the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from fastdeploy_bot.core import clock
from fastdeploy_bot.core.commits import heads, questions, successes
from fastdeploy_bot.core.files import globs
from fastdeploy_bot.core.files.servicefile import ServiceFile
from fastdeploy_bot.errors import Invalid, Unavailable
from fastdeploy_bot.store.models import Delivery, Deployment, Question, Service, Verdict
from fastdeploy_bot.words import QuestionKind, VerdictKind

SHORT: Final = 7
FRESH: Final = 10 * clock.MINUTE
"""How long what GitHub said is believed."""
PATIENCE: Final = clock.MINUTE
"""How long it is asked: whoever wanted to know has gone by then."""
MOST_PREFIXES: Final = 4
"""For how many beginnings of names refs are listed; beyond that, all of them are."""
MOST_COMPARED: Final = 20
"""How many refs a commit is looked for in."""


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be found out: the data of a question of that kind. Its answer is the ref that leads to the commit."""

    sha: str
    branches: tuple[str, ...]
    tags: tuple[str, ...]
    default_branch: str | None
    """None: that is to be asked first, where there are no branches and no tags."""
    refs: tuple[str, ...] = ()
    """The refs in full that it is yet to be looked for in."""
    prefixes: tuple[str, ...] = ()
    """The beginnings of names whose refs are yet to be listed, without `refs/`."""
    compared: int = 0
    """In how many refs it was looked for."""

    @property
    def lacks_default(self) -> bool:
        """Whether it depends on the default branch, which nobody knows yet."""
        return not self.branches and not self.tags and self.default_branch is None

    @property
    def is_over(self) -> bool:
        """Whether it was looked for in all refs, or in as many as one looks into."""
        return self.compared >= MOST_COMPARED or not (self.refs or self.prefixes)

    def wants(self, ref: str) -> bool:
        """Whether the service deploys the ref."""
        file = ServiceFile(repository="", branches=self.branches, tags=self.tags)
        return heads.mapped(file, ref, self.default_branch)

    def with_default(self, name: str) -> Reach:
        """The same, now that the default branch is known."""
        return msgspec.structs.replace(self, default_branch=name, refs=(f"refs/heads/{name}",))

    def next(self) -> Reach:
        """The same after a look into its next ref."""
        return msgspec.structs.replace(self, refs=self.refs[1:], compared=self.compared + 1)

    def listed(self, refs: Iterable[str]) -> Reach:
        """The same, now that it is known which refs begin with its next prefix; of many, those with the last names."""
        found = sorted((ref for ref in refs if self.wants(ref)), reverse=True)
        return msgspec.structs.replace(self, refs=(*self.refs, *found), prefixes=self.prefixes[1:])


def inquire(service: Service, file: ServiceFile, head: heads.Head, *, now: int) -> int | None:
    """The question whose answer tells whether the commit may be deployed, by id; None where the rows tell that it may.

    To be called inside a write.
    """
    if _is_known(service, file, head.sha, now):
        return None
    last = _last(service, head.sha, now)
    if last is None or last.answered is not None:
        reach, until = _reach(service, file, head), now + PATIENCE
        last = questions.ask(QuestionKind.REACHABLE, file.repository, reach, until=until, now=now, service=service.id)
    return last.id


def require(service: Service, file: ServiceFile, sha: str, *, now: int) -> None:
    """Raise Invalid unless the commit is known to be part of what the service deploys, Unavailable until that is said.

    `inquire` was called before.
    """
    if _is_known(service, file, sha, now):
        return
    last = _last(service, sha, now)
    where = f"{sha[:SHORT]} is part of what service {service.name} deploys"
    if last is None or last.answered is None or (last.until is not None and last.answered >= last.until):
        why = f" ({last.problem})" if last is not None and last.problem else ""
        raise Unavailable(f"sha: GitHub is asked whether {where}, and has not answered yet{why}: try again shortly")
    if last.problem:
        raise Invalid(f"sha: GitHub does not say whether {where}: {last.problem}")
    raise Invalid(
        f"sha: {sha[:SHORT]} is part of no branch or tag that service {service.name} deploys "
        f"({_told(file)}): push it to one first"
    )


def is_sure(deployment: Deployment) -> bool:
    """Whether the rows tell that a queued deployment's commit belongs to its service: else nobody could ask GitHub."""
    if deployment.delivery_id is not None:
        return True
    service, sha = deployment.service, deployment.sha
    return _was_live(service, sha) or _says_so(_last(service, sha, deployment.created))


def beginnings(file: ServiceFile) -> tuple[str, ...]:
    """With what the names of all refs begin that a service names, without `refs/`; none: its default branch alone."""
    places = (_places("heads", file.branches), _places("tags", file.tags))
    plain = [ref.removeprefix("refs/") for refs, _ in places for ref in refs]
    return tuple(dict.fromkeys([*plain, *(each for _, prefixes in places for each in prefixes)]))


def _is_known(service: Service, file: ServiceFile, sha: str, now: int) -> bool:
    return _was_live(service, sha) or _was_pushed(service, file, sha) or _says_so(_last(service, sha, now))


def _was_live(service: Service, sha: str) -> bool:
    """Whether it was deployed, and not only asked for: nobody may have been there to judge that."""
    return successes.of(service, Deployment.id).where(Deployment.sha == sha).exists()


def _says_so(last: Question | None) -> bool:
    return last is not None and msgspec.json.decode(last.answer or "null") not in (None, "")


def _was_pushed(service: Service, file: ServiceFile, sha: str) -> bool:
    """Whether a ref that the service deploys named it when it was pushed."""
    told = (
        Delivery.select(Delivery.ref, Delivery.default_branch)
        .join(Verdict)
        .where(
            Verdict.service == service.id,
            Verdict.verdict.not_in([VerdictKind.REFUSED, VerdictKind.DUPLICATE]),
            (Delivery.after == sha) | (Delivery.commit == sha),
        )
    )
    return any(heads.mapped(file, row.ref or "", row.default_branch) for row in told)


def _last(service: Service, sha: str, now: int) -> Question | None:
    """The newest question about the commit of which nothing was forgotten yet."""
    asked = Question.select().where(
        Question.kind == QuestionKind.REACHABLE, Question.service == service.id, Question.asked >= now - FRESH
    )
    rows = asked.order_by(Question.id.desc())
    return next((row for row in rows if msgspec.json.decode(row.data, type=Reach).sha == sha), None)


def _reach(service: Service, file: ServiceFile, head: heads.Head) -> Reach:
    default = heads.default_branch(service)
    branches = file.branches if file.branches or file.tags else (default,) if default else ()
    plain, prefixes = _places("heads", branches), _places("tags", file.tags)
    refs = [ref for ref in (head.ref, *plain[0], *prefixes[0]) if ref and heads.mapped(file, ref, default)]
    beginnings = dict.fromkeys([*plain[1], *prefixes[1]])
    if len(beginnings) > MOST_PREFIXES:
        beginnings = dict.fromkeys(f"{each.partition('/')[0]}/" for each in beginnings)
    return Reach(
        sha=head.sha,
        branches=file.branches,
        tags=file.tags,
        default_branch=default,
        refs=tuple(dict.fromkeys(refs)),
        prefixes=tuple(beginnings),
    )


def _places(kind: str, patterns: Sequence[str]) -> tuple[list[str], list[str]]:
    """The refs that patterns name outright, and with what those begin that they stand for."""
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")]
    if patterns and not wanted:
        return [], [f"{kind}/"]
    plain = [pattern for pattern in wanted if globs.beginning(pattern) == pattern]
    others = [globs.beginning(pattern) for pattern in wanted if pattern not in plain]
    return [f"refs/{kind}/{name}" for name in plain], [f"{kind}/{text}" for text in others]


def _told(file: ServiceFile) -> str:
    if not file.branches and not file.tags:
        return "the default branch"
    return ", ".join([*file.branches, *(f"tag {tag}" for tag in file.tags)])
