"""What the pages share: their blueprint, and what each template needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from flask import Blueprint, g, render_template, request

from fastdeploy_bot.core.looks import standing
from fastdeploy_bot.core.looks.standing import Run
from fastdeploy_bot.core.people import access
from fastdeploy_bot.core.people.access import Action
from fastdeploy_bot.errors import Invalid
from fastdeploy_bot.web import browser, cloaks, context, numbers, packing
from fastdeploy_bot.web.operations import NEWEST

bp = Blueprint("pages", __name__)
bp.after_request(packing.packed)

ID: Final = f"<int(max={NEWEST}):id>"
"""How a route writes an id."""


def page(template: str, **facts: Any) -> str:
    """A page, or its regions alone, with what every page needs (Any: each fact has its own type)."""
    settings = context.bot().settings
    return render_template(
        template,
        regions_only=is_of_regions(),
        public_url=settings.effective_public_url,
        github_url=settings.github_url.rstrip("/"),
        **facts,
    )


def is_of_regions() -> bool:
    """Whether only the page's regions are drawn, for all who see the same: what never changes may be left out."""
    return "stand_ins" in g


def stretch(runs: Sequence[Run]) -> dict[str, Any]:
    """A page's worth of deployments, and the place before which the older ones are."""
    shown = runs[: standing.RECENT]
    return {"runs": shown, "older": place(shown[-1].id) if len(runs) > len(shown) else None}


def before() -> int:
    """The id before which the deployments are that are asked for. Raises Invalid."""
    text = request.args.get("before")
    if text is None:
        return NEWEST
    found = numbers.read(text) if _sees_numbers() else cloaks.uncloak(text)
    if found is None:
        raise Invalid(f"before: expected a place that a page named, got {text[:60]!r}")
    return found


def place(number: int) -> str:
    """How a page names an id before which the deployments are that it does not show."""
    return str(number) if _sees_numbers() else cloaks.cloak(number)


def _sees_numbers() -> bool:
    """Whether the reader may know how many deployments there are: who may name any number finds those of all."""
    return access.may(browser.reader(), Action.BROWSE)
