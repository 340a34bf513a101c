"""Deployment texts: what GitHub is asked to create, and how far it knows each deployment."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastdeploy_bot.forge.github import deployment_texts
from fastdeploy_bot.forge.github.deployment_texts import Stage, Subject
from fastdeploy_bot.words import DeploymentState


def subject(title: str = "Sell more") -> Subject:
    """A deployment of shop."""
    return Subject(
        number=7,
        service="shop",
        sha="a" * 40,
        environment="production",
        title=title,
        page="https://deploy.example/deployments/7",
    )


def test_a_deployment_is_created_whatever_the_commits_statuses_are() -> None:
    """And merges nothing: GitHub would refuse it for our own pending status, or answer 202 with none created."""
    assert {
        "ref": "a" * 40,
        "task": "deploy",
        "auto_merge": False,
        "required_contexts": [],
        "payload": {"fastdeploy": 7, "service": "shop", "url": "https://deploy.example/deployments/7"},
        "environment": "production",
        "description": "shop: Sell more",
        "transient_environment": False,
        "production_environment": False,
    } == deployment_texts.new(subject())


@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=400))
def test_no_title_makes_a_description_that_github_refuses(title: str) -> None:
    """Titles are the first lines of commits."""
    told = deployment_texts.new(subject(title))["description"]

    assert 0 < len(told) <= 140
    assert not any(unicodedata.category(each) in {"Cc", "Cf", "Cs", "Zl", "Zp"} or each > "\uffff" for each in told)


@pytest.mark.parametrize(
    ("stage", "state"),
    [
        (Stage.IN_PROGRESS, DeploymentState.RUNNING),
        (Stage.SUCCESS, DeploymentState.SUCCESS),
        (Stage.FAILURE, DeploymentState.FAILURE),
        (Stage.ERROR, DeploymentState.CANCELLED),
        (Stage.ERROR, DeploymentState.LOST),
    ],
)
def test_each_state_of_what_has_begun_is_one_of_githubs(stage: Stage, state: DeploymentState) -> None:
    """A success that was outlived is inactive; nothing else becomes that."""
    outlived = Stage.INACTIVE if stage is Stage.SUCCESS else stage

    assert (stage, outlived) == tuple(deployment_texts.stage(state, outlived=each) for each in (False, True))
