"""Payloads: what GitHub sends, reduced to the words that decide."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import Headers

import octokit
from fastdeploy_bot import words
from fastdeploy_bot.errors import Malformed
from fastdeploy_bot.forge.github import payloads
from fastdeploy_bot.forge.github.payloads import Commit, UnsupportedContent
from fastdeploy_bot.words import ZERO_SHA, Push, Webhook

GUID = "72d3162e-cc78-11e3-81ab-4c9367dc0958"
BEFORE = "a" * 40
AFTER = "b" * 40
FORM = "application/x-www-form-urlencoded"
NO_FILES: dict[str, list[str]] = {"added": [], "removed": [], "modified": []}


def headers(event: str = "push", guid: str = GUID) -> dict[str, str]:
    """The headers that tell what a payload is."""
    return {"X-GitHub-Event": event, "X-GitHub-Delivery": guid}


def payload(**changes: Any) -> dict[str, Any]:  # Any: as loose as JSON
    """A push as GitHub sends it, with some top-level keys changed."""
    return {
        "ref": "refs/heads/main",
        "before": BEFORE,
        "after": AFTER,
        "created": False,
        "deleted": False,
        "forced": False,
        "commits": [{"id": AFTER, "message": "Sell hats", **NO_FILES, "modified": ["api/hats.py"]}],
        "head_commit": {"id": AFTER, "message": "Sell hats\n\nAnd caps.", **NO_FILES},
        "repository": repository(),
        "pusher": {"name": "hubot", "email": None},
        "sender": {"login": "octocat", "id": 1},
    } | changes


def repository(**changes: Any) -> dict[str, Any]:  # Any: as loose as JSON
    """A repository as pushes describe it, with some keys changed."""
    return {
        "id": 42,
        "name": "shop",
        "full_name": "octo-org/shop",
        "owner": {"name": "octo-org", "login": "octo-org"},
        "default_branch": "trunk",
        "master_branch": "trunk",
        "created_at": 1_600_000_000,
        "pushed_at": 1_700_000_000,
    } | changes


def each(name: str, *values: object) -> list[tuple[str, object]]:
    """The name with each of the values."""
    return [(name, value) for value in values]


def without(mapping: dict[str, Any], *names: str) -> dict[str, Any]:  # Any: as loose as JSON
    """The mapping without some of its keys."""
    return {name: value for name, value in mapping.items() if name not in names}


def parse(told: object, event: str = "push") -> Webhook:
    """What becomes of a payload."""
    return payloads.parse(json.dumps(told).encode(), headers(event))


def pushed(told: object) -> Push:
    """The push that a payload tells of."""
    push = parse(told).push
    assert push is not None
    return push


# --- content types


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/json;"],
)
def test_a_json_body_is_the_document(content_type: str) -> None:
    """Byte for byte, whatever parameters and case the type has."""
    body = b' {"a": "\xc3\xa9"}\n'

    assert body == payloads.document(content_type, body)


@pytest.mark.parametrize("content_type", [FORM, f"{FORM}; charset=UTF-8", FORM.upper()])
def test_a_form_holds_the_document_in_payload(content_type: str) -> None:
    """Percent signs, plus signs and letters beyond ASCII come out as they went in."""
    document = '{"message": "50% + 1 & ä = ü; 🎩"}'
    body = urlencode({"other": "x", "payload": document}).encode()

    assert document.encode() == payloads.document(content_type, body)


def test_an_unescaped_form_is_read_all_the_same() -> None:
    """Letters beyond ASCII as they are, and an `&` too many, are no reason to refuse."""
    assert '{"a":"é"}'.encode() == payloads.document(FORM, 'payload={"a":"é"}&'.encode())


@pytest.mark.parametrize("body", [b"", b"payload", b"payload=", b"Payload=%7B%7D", b"payload=%ff", b"payload=\xff"])
def test_a_form_without_a_readable_payload_is_malformed(body: bytes) -> None:
    """The error speaks of the form."""
    with pytest.raises(Malformed, match="the form"):
        payloads.document(FORM, body)


@pytest.mark.parametrize("content_type", [None, "", "text/plain", "multipart/form-data", "application/jsonp"])
def test_any_other_content_type_is_refused(content_type: str | None) -> None:
    """415, naming what to choose in GitHub's settings."""
    with pytest.raises(UnsupportedContent, match="application/json") as refused:
        payloads.document(content_type, b"{}")

    assert HTTPStatus.UNSUPPORTED_MEDIA_TYPE == refused.value.status


# --- headers


def test_event_and_guid_come_from_the_headers() -> None:
    """In any case of their names, and from a web framework's own headers too."""
    told = Headers([("x-github-event", "ping"), ("X-Github-Delivery", GUID)])

    webhook = payloads.parse(b"{}", told)

    assert ("ping", GUID, b"{}") == (webhook.event, webhook.guid, webhook.body)


@pytest.mark.parametrize("name", ["X-GitHub-Event", "X-GitHub-Delivery"])
@pytest.mark.parametrize("value", [None, "", "a b", "ä", "x" * 101, "push\n", "../x", "<b>"])
def test_a_missing_or_odd_header_is_malformed(name: str, value: str | None) -> None:
    """The error names the header."""
    told = without(headers(), name) if value is None else headers() | {name: value}

    with pytest.raises(Malformed, match=name):
        payloads.parse(b"{}", told)


def test_only_harmless_headers_are_kept() -> None:
    """What GitHub tells of the delivery stays; signatures, cookies and tokens do not."""
    kept = {**headers(), "X-GitHub-Hook-ID": "7", "User-Agent": "GitHub-Hookshot/1", "Content-Type": FORM}
    dropped = {
        "X-Hub-Signature": "sha1=0",
        "X-Hub-Signature-256": "sha256=0",
        "Cookie": "a=b",
        "Authorization": "Bearer x",
        "X-Forwarded-For": "192.0.2.1",
    }

    assert kept == payloads.keep(kept | dropped)


# --- pushes


def test_a_push_becomes_words() -> None:
    """Every word comes from its place in the payload."""
    assert pushed(payload()) == Push(
        repository_id=42,
        repository="octo-org/shop",
        default_branch="trunk",
        ref="refs/heads/main",
        before=BEFORE,
        after=AFTER,
        commit=AFTER,
        pushed_at=1_700_000_000,
        actor="octocat",
        title="Sell hats",
        paths=("api/hats.py",),
        commits=(words.Commit("b" * 40, "Sell hats"),),
        size=1,
    )


def test_a_push_names_its_repository_in_the_webhook() -> None:
    """What decides which secret may have signed it is what is deployed."""
    webhook = parse(payload())

    assert (42, "octo-org/shop", None) == (webhook.repository_id, webhook.repository, webhook.action)


def test_a_push_needs_little() -> None:
    """All that may be absent or null is."""
    told = {
        "ref": "refs/heads/a/b",
        "before": BEFORE,
        "after": AFTER,
        "repository": {"id": 1, "full_name": "a/b"},
    }
    empty = dict.fromkeys(["created", "deleted", "forced", "commits", "head_commit", "pusher", "sender"])

    push = pushed(told)

    assert push == pushed(told | empty)
    assert (None, None, "", "", None) == (
        push.default_branch,
        push.pushed_at,
        push.actor,
        push.title,
        push.paths,
    )
    assert push.branch == "a/b"


def test_an_old_server_names_the_repository_in_two_parts() -> None:
    """Without full_name, owner and name make it; the branch may be told as master_branch."""
    old = repository(owner={"name": "octo-org"}, default_branch=None)

    push = pushed(payload(repository=without(old, "full_name")))

    assert ("octo-org/shop", "trunk") == (push.repository, push.default_branch)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (1_700_000_000, 1_700_000_000),
        ("2023-11-14T22:13:20Z", 1_700_000_000),
        ("2023-11-14T23:13:20.5+01:00", 1_700_000_000),
        (None, None),
    ],
)
def test_the_time_is_a_number_or_text(told: object, expected: int | None) -> None:
    """Pushes send a number, everything else text; both become Unix seconds."""
    assert expected == pushed(payload(repository=repository(pushed_at=told))).pushed_at


@pytest.mark.parametrize(
    ("people", "expected"),
    [
        ({"sender": {"login": "octocat"}}, "octocat"),
        ({"sender": None}, "hubot"),
        ({"sender": {}, "pusher": {"username": "hubot2"}}, "hubot2"),
        ({"sender": {"login": "renovate[bot]"}}, "renovate[bot]"),
        ({"sender": {"login": "a\x00\x1b[2Jb" + "c" * 200}}, "a[2Jb" + "c" * 95),
        ({"sender": None, "pusher": None}, ""),
    ],
)
def test_the_actor_is_the_sender_else_the_pusher(people: dict[str, Any], expected: str) -> None:
    """Shown only: without control characters, and never long."""
    assert expected == pushed(payload(**people)).actor


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("One\nTwo", "One"),
        ("\n One\r\nTwo", "One"),
        ("x" * 300, "x" * 200),
        ("a\x00\x07\tb", "ab"),
        (" \n ", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_the_title_is_the_first_line_of_the_message(message: str | None, expected: str) -> None:
    """Shown only: one line, without control characters, and never long."""
    assert expected == pushed(payload(head_commit={"id": AFTER, "message": message})).title


def test_a_new_branch_has_no_commits() -> None:
    """It is created by its zeros even where the flag is absent, and its paths cannot be known."""
    push = pushed(payload(before=ZERO_SHA, created=None, commits=[]))

    assert (True, False, None, AFTER) == (push.created, push.deleted, push.paths, push.commit)


@pytest.mark.parametrize("length", [40, 64])
def test_a_deleted_ref_names_nothing(length: int) -> None:
    """It is deleted by its zeros, as long as they are; there is no head commit."""
    push = pushed(payload(after="0" * length, head_commit=None, commits=[], deleted=None))

    assert (True, "", None) == (push.deleted, push.title, push.paths)


def test_an_annotated_tag_deploys_the_commit_it_points_at() -> None:
    """`after` stays the tag object, for the push key."""
    tag = "c" * 40

    push = pushed(payload(ref="refs/tags/v1.0", before=ZERO_SHA, after=tag))

    assert (tag, AFTER, "v1.0", None) == (push.after, push.commit, push.tag, push.branch)


@pytest.mark.parametrize("head", [None, {}, {"id": None}, {"id": "HEAD"}, {"id": "--upload-pack=x"}])
def test_a_tag_without_a_usable_head_deploys_what_it_names(head: object) -> None:
    """Only a sha identifies a commit."""
    assert AFTER == pushed(payload(ref="refs/tags/v1.0", head_commit=head)).commit


@pytest.mark.parametrize("name", ["feature/a/b", "$(reboot)", "a;b`c`'\"<d>", "--upload-pack=x", "ünï/🎩"])
def test_a_ref_may_be_called_what_git_allows(name: str) -> None:
    """Refs are shown and matched, never run."""
    assert name == pushed(payload(ref=f"refs/heads/{name}")).branch


# --- what its message asks for


@pytest.mark.parametrize(
    ("message", "phrase"),
    [
        ("Sell hats", ""),
        (None, ""),
        ("Sell hats [skip deploy]", "[skip deploy]"),
        ("[deploy skip] Sell hats", "[deploy skip]"),
        ("Sell hats [Skip CI]", "[skip ci]"),
        ("Sell hats\n\nThey are red.\n\n[SKIP DEPLOY]\n", "[skip deploy]"),
        ("Sell hats[skip ci]", "[skip ci]"),
        ("[skip ci] and [skip deploy]", "[skip ci]"),
        ("skip deploy", ""),
        ("[skip]", ""),
        ("[no deploy]", ""),
        ("[skip\ndeploy]", ""),
        ("Read [skip deploys]", ""),
    ],
)
def test_a_phrase_anywhere_in_the_message_asks_for_no_deployment(message: str | None, phrase: str) -> None:
    """In any case of letters, and beyond the title, which alone is shown."""
    assert phrase == pushed(payload(head_commit={"id": AFTER, "message": message})).skip


def test_a_phrase_of_an_earlier_commit_asks_for_nothing() -> None:
    """The head commit's word counts: what is deployed is that one."""
    commits = [commit("a") | {"message": "One [skip deploy]"}, commit("b") | {"message": "Two"}]

    assert "" == pushed(payload(commits=commits, head_commit={"id": AFTER, "message": "Two"})).skip


# --- paths


def commit(*added: str, **lists: list[str] | None) -> dict[str, Any]:
    """A commit that added some files, and did more to others."""
    return {"id": AFTER, "message": "", **NO_FILES, "added": list(added), **lists}


def test_paths_are_all_that_any_commit_touched() -> None:
    """Added, removed and modified of every commit, each once, sorted."""
    commits = [commit("b", modified=["a", "c"]), commit(removed=["d"], modified=["a"])]

    assert ("a", "b", "c", "d") == pushed(payload(commits=commits)).paths


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"created": True}, id="created"),
        pytest.param({"forced": True}, id="forced"),
        pytest.param({"deleted": True}, id="deleted"),
        pytest.param({"commits": None}, id="commits are null"),
        pytest.param({"commits": []}, id="no commits"),
        pytest.param({"commits": [commit("a"), commit("b", removed=None)]}, id="a list is null"),
        pytest.param({"commits": [commit("a"), without(commit("b"), "modified")]}, id="a list is absent"),
        pytest.param({"commits": [{"id": AFTER}]}, id="all lists are absent"),
        pytest.param({"commits": [commit(), commit()]}, id="no file is named at all"),
        pytest.param({"commits": [commit("a"), commit()]}, id="no file of one is named"),
        pytest.param({"commits": [commit("a", modified=["b"] * 2999)]}, id="more files than GitHub lists"),
        pytest.param({"commits": [commit("a")] * 2048}, id="more commits than GitHub lists"),
    ],
)
def test_paths_that_cannot_be_known_are_none(changes: dict[str, Any]) -> None:
    """A path filter that cannot know must match, so nothing is guessed."""
    assert pushed(payload(**changes)).paths is None


def test_as_much_as_github_lists_in_full_is_known() -> None:
    """One fewer than the bounds, of commits and of a commit's files, is no cut list."""
    assert ("a",) == pushed(payload(commits=[commit("a")] * 2047)).paths
    assert ("a", "b") == pushed(payload(commits=[commit("a", modified=["b"] * 2998)])).paths


# --- malformed


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        b"nonsense",
        b"[]",
        b"null",
        b'"push"',
        b"{} {}",
        b'{"a": NaN}',
        b"\xef\xbb\xbf{}",
        b'{"a": "\xff"}',
        b'{"\xff": 1}',
        b'{"a": "\\ud800"}',
        b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' * 100_000,
    ],
    ids=lambda document: repr(document[:20]),
)
@pytest.mark.parametrize("event", ["push", "ping"])
def test_what_is_no_json_object_is_malformed(document: bytes, event: str) -> None:
    """Broken JSON, broken UTF-8, anything but an object, bottomless nesting: always the same error."""
    with pytest.raises(Malformed, match="payload cannot be read"):
        payloads.parse(document, headers(event))


@pytest.mark.parametrize("name", ["ref", "before", "after", "repository"])
def test_a_push_without_a_needed_key_is_malformed(name: str) -> None:
    """The error names the key."""
    with pytest.raises(Malformed, match=name):
        parse(without(payload(), name))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *each("ref", None, 1, "", "main", "refs/", "refs/heads/a\nb", "refs/heads/\x00", "refs/\x7f"),
        ("ref", "refs/heads/" + "x" * 1024),
        *each("before", None, 0, "", "a" * 39, "a" * 41, "g" * 40, AFTER + "\n", "HEAD"),
        *(("after", value) for value in (None, "b" * 63, "$(reboot)", "-" * 40)),
        *each("created", 1, "true"),
        ("deleted", "no"),
        ("forced", []),
        *each("commits", {}, "x", [1], [None], [{"added": "a"}], [{"added": [1]}]),
        *each("head_commit", 1, [], {"message": 1}, {"id": 1}),
        ("sender", {"login": 1}),
        ("pusher", "octocat"),
        *each("repository", None, 1, "octo-org/shop", []),
    ],
)
def test_a_push_with_a_wrong_value_is_malformed(name: str, value: object) -> None:
    """The error names the key, and nothing is guessed."""
    with pytest.raises(Malformed, match=name):
        parse(payload(**{name: value}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *each("id", None, "42", 4.5, True, -1, 2**63, 10**30),
        *each("full_name", 1, "shop", "a/b/c", "../shop", "a/..", "./a", "a b/c", "a/b\x00", "/b", "a/"),
        *each("pushed_at", 1.5, True, -1, 2**63, "yesterday", "2023-11-14T22:13:20", []),
        *each("default_branch", 1, "a\x00b"),
    ],
)
def test_a_push_with_a_wrong_repository_is_malformed(name: str, value: object) -> None:
    """The error names the key; what no database could hold or no path should contain is wrong too."""
    with pytest.raises(Malformed, match=name):
        parse(payload(repository=repository(**{name: value})))


def test_a_push_of_a_nameless_repository_is_malformed() -> None:
    """Without full_name and without both parts there is nothing to match."""
    with pytest.raises(Malformed, match="full_name"):
        parse(payload(repository={"id": 42, "name": "shop"}))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(name=st.sampled_from(sorted(payload())), value=json_values)
def test_no_value_breaks_a_push(name: str, value: object) -> None:
    """Whatever JSON stands under a key, a push comes out or Malformed does."""
    try:
        told = parse(payload(**{name: value}))
    except Malformed:
        return

    assert told.push is not None


@given(name=st.sampled_from(sorted(repository())), value=json_values)
def test_no_value_breaks_a_repository(name: str, value: object) -> None:
    """The same for the keys of the repository."""
    try:
        told = parse(payload(repository=repository(**{name: value})))
    except Malformed:
        return

    assert told.push is not None


# --- other events


def test_another_event_tells_action_and_repository() -> None:
    """And no push, though it may look like one."""
    webhook = parse(payload(action="rerequested"), "check_run")

    assert ("rerequested", 42, "octo-org/shop") == (webhook.action, webhook.repository_id, webhook.repository)
    assert webhook.push is None


def test_a_surprise_beside_the_name_does_not_hide_the_repository() -> None:
    """A secret bound to other repositories cannot pass by sending odd values."""
    told = {"repository": repository(pushed_at=1.5, owner=7, default_branch=[])}

    assert "octo-org/shop" == parse(told, "repository").repository


@given(action=json_values, told=json_values)
def test_no_value_breaks_another_event(action: object, told: object) -> None:
    """Wrong types are as good as absent."""
    webhook = parse({"action": action, "repository": told}, "installation")

    assert webhook.repository is None
    assert webhook.action is None or webhook.action == action


@pytest.mark.parametrize(
    "told", [{}, {"action": None, "repository": None}, {"action": 1, "repository": {"id": 10**30}}]
)
def test_what_another_event_lacks_is_none(told: object) -> None:
    """Absent, null and wrong-typed alike."""
    webhook = parse(told, "organization")

    assert (None, None, None) == (webhook.action, webhook.repository_id, webhook.repository)


# --- examples, theirs and ours


def test_every_example_of_github_is_understood() -> None:
    """All of them parse; each that names a repository tells it, and each push is one."""
    octokit.require()

    for example in octokit.examples():
        told = json.loads(example.text)
        webhook = payloads.parse(example.text.encode(), headers(example.event))

        full_name = (told.get("repository") or {}).get("full_name")
        assert (example.name, told.get("action")) == (example.name, webhook.action)
        assert (example.name, full_name) == (example.name, webhook.repository)
        assert (webhook.push is not None) == (example.event == "push"), example.name


def test_the_pushes_of_github_say_what_they_say() -> None:
    """Tags, branches, new and deleted ones: each word is the payload's."""
    octokit.require()
    pushes = [json.loads(example.text) for example in octokit.examples() if example.event == "push"]

    assert len(pushes) >= 7
    for told in pushes:
        push = pushed(told)
        head = told["head_commit"] or {"id": told["after"], "message": ""}
        assert [told[name] for name in ("ref", "before", "after", "created", "deleted", "forced")] == [
            push.ref,
            push.before,
            push.after,
            push.created,
            push.deleted,
            push.forced,
        ]
        assert (told["repository"]["id"], told["repository"]["pushed_at"]) == (
            push.repository_id,
            push.pushed_at,
        )
        assert (head["id"], head["message"].partition("\n")[0]) == (push.commit, push.title)
        assert told["sender"]["login"] == push.actor


def test_our_own_push_is_understood() -> None:
    """What push_document builds comes back as the words it was built from."""
    commits = (
        Commit(id=BEFORE, message="One", added=("a",)),
        Commit(id=AFTER, message="Two", removed=("b",)),
    )

    document = payloads.push_document(
        repository="octo-org/shop",
        repository_id=42,
        before=BEFORE,
        after=AFTER,
        pushed_at=1_700_000_000,
        actor="hubot",
        listed=commits,
    )

    push = payloads.parse(document, headers()).push
    assert push is not None
    assert ("Two", "hubot", "main", ("a", "b")) == (push.title, push.actor, push.default_branch, push.paths)
    assert ("octo-org/shop", 42, 1_700_000_000) == (push.repository, push.repository_id, push.pushed_at)
    assert ("refs/heads/main", BEFORE, AFTER, AFTER) == (push.ref, push.before, push.after, push.commit)


def test_our_own_push_without_commits_passes_path_filters() -> None:
    """Where nothing is said of files, nothing can be known of them."""
    document = payloads.push_document(
        repository="a/b", repository_id=1, before=BEFORE, after=AFTER, pushed_at=1, title="Say hello"
    )

    push = payloads.parse(document, headers()).push
    assert push is not None
    assert ("Say hello", None) == (push.title, push.paths)


def test_our_own_push_can_delete() -> None:
    """To zeros means gone, without a head commit."""
    document = payloads.push_document(
        repository="a/b", repository_id=1, before=BEFORE, after=ZERO_SHA, pushed_at=1, ref="refs/tags/v1"
    )

    push = payloads.parse(document, headers()).push
    assert push is not None
    assert push.deleted
    assert msgspec.json.decode(document)["head_commit"] is None
