"""Resuming: a push that waited for GitHub to say what it changed is decided, as if it came now."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from fastdeploy_bot import store
from fastdeploy_bot.core.commits import questions
from fastdeploy_bot.core.commits.drift import Paths
from fastdeploy_bot.core.files.catalogue import Entry
from fastdeploy_bot.core.pushes import deciding
from fastdeploy_bot.core.pushes.deciding import Asked, Case
from fastdeploy_bot.core.pushes.matching import Decision
from fastdeploy_bot.core.telling import changes
from fastdeploy_bot.store.models import WITHOUT_BODY, Delivery, Deployment, Question, Verdict
from fastdeploy_bot.words import Origin, QuestionKind, VerdictKind


def resume(
    question: Question, answers: Mapping[str, Paths], entries: Mapping[str, Entry], *, why: str = "", now: int
) -> None:
    """Decide a push for the service that asked what it changed, now that GitHub has said so, or why it did not.

    Its verdict becomes what it would be if the push came now. To be called inside a write.
    """
    asked = msgspec.json.decode(question.data, type=Asked)
    verdict = Verdict.get_or_none(Verdict.id == asked.verdict)
    if verdict is None:
        return  # its delivery was pruned
    case = Case(
        delivery=Delivery.select(*WITHOUT_BODY).where(Delivery.id == verdict.delivery_id).get(),
        push=asked.push,
        entries=entries,
        covers=lambda _: True,
        origin=asked.origin,
        actor=asked.actor,
        now=now,
        answers=answers,
        unanswered=why,
    )
    decision = _overtaken(verdict, question) or deciding.decide_for(case, verdict.service)
    fields = {"verdict": decision.verdict, "reason": decision.reason, "counts": decision.counts, "decided": now}
    deployment = deciding.deployment_of(case, verdict.service, decision)
    Verdict.update(deployment=deployment, **fields).where(Verdict.id == verdict.id).execute()
    changes.of_delivery(verdict.delivery_id)


def expire(look: Callable[[], Mapping[str, Entry]], *, now: int) -> bool:
    """Decide a push for which GitHub was waited long enough, whether it was asked or not; answers if there was one.

    `look` tells the service files as they are now.
    """
    late = questions.next_late([QuestionKind.CHANGED], now=now)
    if late is None:
        return False
    why, entries = questions.too_late(late), look()

    def give_up() -> None:
        if questions.answer(late, None, problem=why, now=now):
            resume(late, {}, entries, why=why, now=now)

    store.write(give_up)
    return True


def _overtaken(verdict: Verdict, question: Question) -> Decision | None:
    """What somebody decided about a push, or of its service, while GitHub was asked."""
    service = verdict.service
    again = Verdict.delivery == verdict.delivery_id, Verdict.service == service.id, Verdict.id > verdict.id
    if Verdict.select().where(*again).exists():
        return Decision(service.name, VerdictKind.STALE, "it was replayed meanwhile", counts=True)
    if service.removed is not None:
        return Decision(service.name, VerdictKind.IGNORE, f"service {service.name} was removed", counts=True)
    rollback = Deployment.select().where(
        Deployment.service == service.id,
        Deployment.origin == Origin.ROLLBACK,
        Deployment.created >= question.asked,
    )
    if (row := rollback.order_by(Deployment.id.desc()).first()) is not None:
        reason = f"rolled back to {row.sha[:7]} by {row.actor} meanwhile"
        return Decision(service.name, VerdictKind.IGNORE, reason, counts=True)
    return None
