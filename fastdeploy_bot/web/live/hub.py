"""The hub: one look at the feed for all of a process's websockets, one frame of each event for all who see the same.

It looks when the feed's bell rings, and once a second for what other hosts have done. Whoever has everything so far and
has room for more is given what is new by the hub's own thread, which waits for nobody. The others take from one window
of recent frames, each at their own pace; whoever falls out of it is disconnected, and comes back by the id they had.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from threading import Lock, Thread
from typing import Final

from fastdeploy_bot import store
from fastdeploy_bot.bell import Bell
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.files.catalogue import Catalogue
from fastdeploy_bot.core.files.servicefile import Visibility
from fastdeploy_bot.core.output import logs
from fastdeploy_bot.core.people import access, credentials
from fastdeploy_bot.core.people.access import Action
from fastdeploy_bot.core.people.credentials import Credential, Stay
from fastdeploy_bot.core.telling import feed
from fastdeploy_bot.core.telling.feed import Told
from fastdeploy_bot.errors import Gone, Unavailable
from fastdeploy_bot.web.live.frames import Frames, Window
from fastdeploy_bot.words import Principal, PrincipalKind

log = logging.getLogger(__name__)

BATCH: Final = 64 * 1024
"""How many bytes of frames a reader takes at once; at least one frame."""
POLL_SECONDS: Final = 1.0
REST_SECONDS: Final = 0.01
"""How much time is between two looks at the least: in a burst, what came meanwhile is found, and sent, together."""
PAUSE_SECONDS: Final = 0.1
"""What readers are given to take what came, before more is put into the window."""
CHECK_SECONDS: Final = 2.0
"""How long a revoked token or an ended session may go on."""
LOG_SECONDS: Final = 0.25
"""How much time is between two looks at the logs."""
FAREWELL_SECONDS: Final = 1.5
"""How long readers have to leave when the server ends."""

GOING_AWAY: Final = 1001
FAULT: Final = 1011
TRY_AGAIN: Final = 1013
NOT_SIGNED_IN: Final = 4401

NOTHING_PUBLIC: Final = "nobody has signed in here, and no service is for everyone to see"
VISITOR: Final = Principal(PrincipalKind.VISITOR, "")


class Farewell(Exception):
    """A socket is to be closed."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class Reader:
    """One socket as the hub knows it. Only the hub changes what is in it, but for what its own thread may."""

    def __init__(self, *, wake: Callable[[], object], cut: Callable[[], object], offer: Callable[[bytes], int]) -> None:
        self.wake = wake
        self.cut = cut
        self.offer = offer
        """Has the socket take some bytes, without waiting; answers how many went. It sees to the others itself, but if
        none went, it has forgotten them."""
        self.visits = False
        """Whether it goes on without having shown who it is."""
        self.credential: Credential | None = None
        self.stay: Stay | None = None
        self.position = 0
        """The id of the newest event it was given or passed over."""
        self.live = False
        """Whether it takes from the window."""
        self.idle = False
        """Whether it has taken, and sent, all that there was when it looked last."""
        self.reset = False
        """Whether the feed it was following is no longer that feed."""
        self.era = 0
        """How often that had happened when it was looked at last."""
        self.follows: tuple[int, str] | None = None
        """The deployment whose log it follows, and that one's service."""
        self.farewell: Farewell | None = None


class Hub:
    """The fan-out of one process. Its thread runs while there are readers."""

    def __init__(self, bell: Bell, catalogue: Catalogue) -> None:
        self._bell = bell
        self._catalogue = catalogue
        self._guard = Lock()
        self._readers: set[Reader] = set()
        self._thread: Thread | None = None
        self._window = Window()
        self._era = 0
        """How often the feed has become another one."""
        self._visibility: dict[str, Visibility] = {}
        self._ends: dict[int, int] = {}
        """Of each log that somebody follows, the offset of its end."""
        self._chunk: int | None = None
        self._looked: float = 0
        self._checked: float = 0
        self._ended: float | None = None
        self.is_ending: Callable[[], bool] = lambda: False
        """Whether the server is about to end; asked once a second."""

    # --- what a reader's thread calls

    def enter(self, reader: Reader) -> None:
        """Begin to look after a reader."""
        with self._guard:
            self._readers.add(reader)
            reader.era = self._era
            if self._thread is None:
                self._window.begin(feed.newest())
                self._chunk = None
                thread = Thread(target=self._run, name="feed-hub", daemon=True)
                thread.start()
                self._thread = thread  # there now: whoever enters relies on it

    def leave(self, reader: Reader) -> None:
        """Forget a reader."""
        with self._guard:
            self._readers.discard(reader)

    def join(self, reader: Reader) -> bool:
        """Whether the reader has come far enough to take from the window from now on."""
        with self._guard:
            if reader.era != self._era:
                self._move(reader)
            reader.live = reader.position >= self._window.start
            return reader.live

    def take(self, reader: Reader) -> bytes:
        """What a live reader has not been given yet, at most a batch. Raises Farewell where some of that is gone."""
        with self._guard:
            if reader.position < self._window.start:
                raise Farewell(TRY_AGAIN, f"too slow: connect again with since={reader.position}")
            batch, size = [], 0
            for frames in self._window.after(reader.position):
                reader.position = frames.event.id
                batch.append(data := self._seen(frames, reader.visits))
                if (size := size + len(data)) >= BATCH:
                    break
            reader.idle = not size and not reader.reset
            return b"".join(batch)

    def seen(self, event: Told, reader: Reader) -> bytes:
        """The event's frame as that reader sees it; empty where it is not theirs to see."""
        with self._guard:
            return self._seen(Frames(event), reader.visits)

    def log_end(self, reader: Reader) -> int:
        """Where the log that the reader follows ends by now; 0 where there is none, or it is not theirs to read."""
        with self._guard:
            if reader.follows is None:
                return 0
            number, service = reader.follows
            readable = access.may(_principal(reader), Action.READ, service=service, visibility=self._shown(service))
            return self._ends.get(number, 0) if readable else 0

    def visitable(self) -> bool:
        """Whether there is anything for visitors to see."""
        self._look_at_files()
        return any(each is not Visibility.PRIVATE for each in self._visibility.values())

    def accept(self, reader: Reader, credential: Credential) -> None:
        """Take the reader for whom the credential says, as long as that stands."""
        with self._guard:
            reader.credential, reader.stay, reader.visits = credential, None, False
        self._stand({credential: [reader]})

    def check(self, reader: Reader) -> None:
        """Look again at how long the reader may stay."""
        if reader.credential is not None:
            self._stand({reader.credential: [reader]})

    @property
    def newest(self) -> int:
        """The id of the newest event that readers can have."""
        return self._window.end

    # --- the hub's own thread

    def _run(self) -> None:
        try:
            with self._bell.listen() as ears:
                while self._goes_on():
                    began = time.monotonic()
                    ears.wait(self._turn())
                    time.sleep(max(0.0, began + REST_SECONDS - time.monotonic()))
        except Exception:
            log.exception("the feed's hub has failed")
            with self._guard:
                self._thread = None  # first: whoever comes from now on has another one
            self._dismiss(Farewell(FAULT, "the bot has failed to follow its feed: connect again"))
        finally:
            store.disconnect()

    def _goes_on(self) -> bool:
        with self._guard:
            if not self._readers:
                self._thread = None
            return self._thread is not None

    def _turn(self) -> float:
        """Do what is due; answers how long there is nothing to do unless the bell rings, in seconds."""
        if self._ended is not None or self.is_ending():
            return self._end_all()
        try:
            return self._look(time.monotonic())
        except (store.DatabaseError, Unavailable) as error:
            log.warning("the feed cannot be read", extra={"why": str(error)})
            return POLL_SECONDS
        finally:
            store.release()

    def _look(self, moment: float) -> float:
        readers = self._present()
        differs = any(reader.visits for reader in readers) and self._look_at_files()
        if moment - self._checked >= CHECK_SECONDS:
            self._checked = moment
            self._check_all(readers)
        found = self._look_at_feed()
        rest = PAUSE_SECONDS if found == feed.PAGE else POLL_SECONDS
        grew, due = self._look_at_logs(readers, moment)
        for reader in self._present():
            if differs or (grew and reader.follows is not None):
                reader.wake()
        return min(rest, due)

    def _look_at_feed(self) -> int:
        """Put what is new into the window, a page at most, and give it out; answers how much that was."""
        try:
            events = feed.since(self._window.end)
        except Gone:
            self._begin_again()
            return 0
        if events:
            fresh, before = [Frames(event) for event in events], self._window.end
            with self._guard:
                self._window.add(fresh)
            self._give_out(fresh, before)
        return len(events)

    def _give_out(self, fresh: list[Frames], before: int) -> None:
        """Give what is new to those who have all that was before it, and wake the others.

        To all who are there by now: one who came during this look may have found nothing in the window, and waits.
        """
        shown: dict[bool, bytes] = {}
        now = clock.now()
        for reader in self._present():
            with self._guard:
                if reader.visits not in shown:
                    shown[reader.visits] = b"".join(self._seen(frames, reader.visits) for frames in fresh)
                ready = reader in self._readers and reader.position == before and _is_at_ease(reader, now)
                given = ready and self._give(reader, shown[reader.visits])
            if not given:
                reader.wake()

    def _give(self, reader: Reader, data: bytes) -> bool:
        """Give a reader all that is new; answers whether it has that. One who has not, or has a part, is not idle."""
        sent = reader.offer(data) if data and len(data) <= BATCH else 0
        if sent or not data:
            reader.position = self._window.end
        reader.idle = sent == len(data)
        return reader.idle

    def _begin_again(self) -> None:
        """The feed is another one than it was, or far ahead: let everybody begin with the present state."""
        newest = feed.newest()
        with self._guard:
            self._window.begin(newest)
            self._era += 1
            for reader in self._readers:
                if reader.live:
                    self._move(reader)
                reader.wake()

    def _move(self, reader: Reader) -> None:
        reader.position, reader.era, reader.reset = self._window.end, self._era, True
        reader.idle = False  # until it has said so, and looked again: nothing new goes before that

    def _look_at_logs(self, readers: list[Reader], moment: float) -> tuple[bool, float]:
        """Note how far the logs have come; answers whether one has grown, and in how many seconds to look again."""
        followed = {reader.follows[0] for reader in readers if reader.follows is not None}
        if not followed or moment < self._looked + LOG_SECONDS:
            return False, self._looked + LOG_SECONDS - moment if followed else POLL_SECONDS
        self._looked = moment
        chunk, grown = logs.grown(self._chunk)
        known = self._ends
        ends = {
            number: logs.end(number) if number in grown or number not in known else known[number] for number in followed
        }
        with self._guard:
            self._chunk, self._ends = chunk, ends
        return ends != known, POLL_SECONDS

    def _look_at_files(self) -> bool:
        """Note what is for everyone to see; answers whether that has changed."""
        known = self._visibility
        self._visibility = {name: entry.visibility for name, entry in self._catalogue.entries().items()}
        return self._visibility != known

    def _check_all(self, readers: list[Reader]) -> None:
        by_credential: dict[Credential, list[Reader]] = {}
        for reader in readers:
            if (credential := reader.credential) is not None:
                by_credential.setdefault(credential, []).append(reader)
        self._stand(by_credential)
        if not any(each is not Visibility.PRIVATE for each in self._visibility.values()):
            for reader in readers:
                if reader.visits:
                    _send_away(reader, Farewell(NOT_SIGNED_IN, NOTHING_PUBLIC))

    def _stand(self, holders: Mapping[Credential, list[Reader]]) -> None:
        worth = credentials.worth(holders.keys(), now=clock.now())
        found = {each: stay for each, stay in worth.items() if access.may(stay.principal, Action.BROWSE)}
        with self._guard:
            for credential, readers in holders.items():
                for reader in readers:
                    # It may have shown another one meanwhile.
                    if reader.credential == credential and reader.stay != found.get(credential):
                        reader.stay = found.get(credential)
                        reader.wake()

    def _end_all(self) -> float:
        """Send everybody away, and cut off those who do not go."""
        if self._ended is None:
            self._ended = time.monotonic()
        self._dismiss(Farewell(GOING_AWAY, "the server ends: connect again shortly"))
        if time.monotonic() - self._ended >= FAREWELL_SECONDS:
            for reader in self._present():
                reader.cut()
        return FAREWELL_SECONDS / 10

    def _dismiss(self, farewell: Farewell) -> None:
        for reader in self._present():
            _send_away(reader, farewell)

    def _present(self) -> list[Reader]:
        with self._guard:
            return list(self._readers)

    def _seen(self, frames: Frames, visits: bool) -> bytes:
        if not visits:
            return frames.user
        return frames.visitor(self._shown(frames.event.service))

    def _shown(self, service: str | None) -> Visibility:
        return self._visibility.get(service or "", Visibility.PRIVATE)


def _is_at_ease(reader: Reader, now: int) -> bool:
    """Whether it has nothing else to hear first, and may hear what is new."""
    may = reader.visits or (reader.stay is not None and reader.stay.until > now)
    return may and reader.idle and reader.farewell is None


def _send_away(reader: Reader, farewell: Farewell) -> None:
    reader.farewell = reader.farewell or farewell
    reader.wake()


def _principal(reader: Reader) -> Principal:
    return VISITOR if reader.stay is None else reader.stay.principal
