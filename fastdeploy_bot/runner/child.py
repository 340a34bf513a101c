"""The child: a detached process that owns one script, its output, its time limits and its exit record.

Started as `python -I -S child.py` with its job as one line of JSON on standard input, and behind it the word to begin;
the end of input before that means that nobody wants it any more. It needs the standard library and its neighbours only,
loads all of it before the script starts, and from then on neither needs the bot nor cares whether it lives.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import selectors
import signal
import sys
import time

sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from fastdeploy_bot.masking import Masker
from fastdeploy_bot.runner import launch, tree
from fastdeploy_bot.runner.folder import BEGIN, RunFolder
from fastdeploy_bot.runner.output import Journal, Lines, Log, StepsFile, now
from fastdeploy_bot.runner.stream import CAPACITY, Pipe, Stream, keep_memory, watch

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing itself would cost a tenth of the start
    from typing import Any

TICK = 0.1
"""Seconds between looks at the steps file, even where nothing says that something was written there."""
LOOK = 1.0
"""Seconds between looks for requests that came without a signal."""
GIVE_UP = 10.0
"""Seconds after which a process that does not even end by SIGKILL is left alone."""
LINGER = 2.0
"""Seconds that a daemon which keeps the output open may hold back the end."""
F_SETPIPE_SZ = 1031
FAULTS = (signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV, signal.SIGSYS, signal.SIGTRAP)
"""What tells a process of its own faults."""


def main() -> None:
    """Read a job, and do it if nobody else has."""
    _ignore_signals()
    script, me = launch.stand_by(), _me()
    message = sys.stdin.buffer.readline()
    if not message:
        return
    if not message.endswith(b"\n"):
        sys.exit("its job has no end: a bot of another version told it, which has to be started anew")
    job = json.loads(message)
    folder = RunFolder(job["folder"])
    _complain_to(folder)
    # A bot of another version may mean something else by a job: then this ends here, unclaimed.
    run = Run(job, folder, script)
    run.get_ready()
    if sys.stdin.buffer.read() == BEGIN and _claim(folder, me):
        run.follow()


def _ignore_signals() -> None:
    """From the claim on nothing but SIGKILL ends this: a script may mean somebody else by `killall -USR1 python3`."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, *FAULTS}:
        signal.signal(number, signal.SIG_IGN)


def _me() -> dict[str, object]:
    """What a claim says of who made it."""
    pid = os.getpid()
    return {"pid": pid, "start_time": tree.start_time(pid), "boot": tree.boot()}


def _complain_to(folder: RunFolder) -> None:
    """A child that has waited for its job did not know before where its complaints belong."""
    with contextlib.suppress(OSError):  # a folder that is gone is seen at the claim
        complaints = os.open(folder.file("child.err"), os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        os.dup2(complaints, 2)
        os.close(complaints)


def _claim(folder: RunFolder, me: dict[str, object]) -> bool:
    """Whether the run is ours: from then on, our lock says that it is alive. A run has one child at the most."""
    while folder.claimed() is None and os.path.isdir(folder.path):
        if folder.hold("lock") is not None:  # until this process ends
            return folder.claim(me)
        time.sleep(0.01)  # somebody looks whether a child lives, or is about to claim
    return False


class Run:
    """One script, from its first line to its exit record."""

    def __init__(self, job: dict[str, Any], folder: RunFolder, script: launch.Standby) -> None:
        self.argv, self.cwd, self.env = job["argv"], job["cwd"], {**job["env"], tree.COOKIE: folder.name}
        self.script = script
        launch.tell(script, self.argv, self.cwd, self.env)
        self.config, self.reports_end = job["config"], job["finish"] == "report"
        limits = job["limits"]
        self.timeout, self.silence, self.kill_grace = (
            limits[key] for key in ("timeout", "silence_timeout", "kill_grace")
        )
        self.folder = folder
        self.masker = Masker(job["secrets"])
        sys.stderr = Complaints(self.masker)
        self.log = Log(folder, limits["log_limit"], self.masker)
        self.journal = Journal(folder, self.masker, self.log.say)
        lines = Lines() if job["step_source"] == "stdout" else None
        self.stream = Stream(self.log, self.journal, StepsFile(folder, self.journal), lines)
        self.selector = selectors.DefaultSelector()
        self.wait_status: int | None = None
        self.ended_at = 0.0
        self.drained = False
        self.start_error = ""
        self.start_status = 0
        self.ended_by: str | None = None
        self.why = ""
        self.kill_at = 0.0
        self.reported: dict[str, object] | None = None
        self.steps_seen = 0
        self.next_look = 0.0

    def get_ready(self) -> None:
        """Do what can be done before it is known whether the script is to run."""
        self._listen_for_signals()
        self._listen_for_steps()
        launch.adopt_orphans()
        keep_memory()

    def follow(self) -> None:
        """Run the script and stay with it to the end."""
        self.started = now()
        self.begun = self.active = time.monotonic()
        if self._launch():
            self._stay()
        self._conclude()

    def _launch(self) -> bool:
        """Whether there is a script to stay with; a host that has no room for what it needs is no reason to die."""
        try:
            self._write_config()
            launch.launch(self.script)
        except OSError as error:
            self._note_start_error(launch.NOT_RUNNABLE, f"cannot run {self.argv[0]}: {error.strerror}")
            self.drained = True
            return False
        self._watch_output()
        return True

    def _stay(self) -> None:
        while not self._done():
            self._wait()
            self.log.settle()
            self._reap()
            self._look_for_requests()
            self._enforce_limits()
            self._kill_rest()

    # --- beginning ---

    def _listen_for_signals(self) -> None:
        self.woken, alarm = os.pipe()
        os.set_blocking(self.woken, False)
        os.set_blocking(alarm, False)
        signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        self.selector.register(self.woken, selectors.EVENT_READ)

    def _listen_for_steps(self) -> None:
        self.steps_watch = watch(self.folder.file("steps"))
        if self.steps_watch >= 0:
            self.selector.register(self.steps_watch, selectors.EVENT_READ)

    def _write_config(self) -> None:
        """ephes/fastdeploy scripts find their token in a file."""
        if self.config is None:
            return
        path = self.folder.file("config.json")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(self.config, file)

    def _watch_output(self) -> None:
        with contextlib.suppress(OSError):  # a host may bound pipes more narrowly; then it just takes more reads
            fcntl.fcntl(self.script.output, F_SETPIPE_SZ, CAPACITY)
        os.set_blocking(self.script.output, False)
        self.selector.register(self.script.output, selectors.EVENT_READ)
        self.pipe = Pipe(self.folder, self.script.output)

    # --- in the middle ---

    def _wait(self) -> None:
        ready = [key.fd for key, _ in self.selector.select(TICK)]
        if self.woken in ready:
            self.next_look = 0.0
        for each in ready:
            if each != self.script.output:
                os.read(each, 4096)
        self._pump(output_first=self.steps_watch >= 0 and self.steps_watch not in ready)

    def _pump(self, *, output_first: bool) -> None:
        """Take what the script has printed and told by now; output first, so that none is taken for told later."""
        at = now()
        data = None if self.drained else self.pipe.read(CAPACITY)
        if data == b"":
            self.selector.unregister(self.script.output)
            self.drained = True
        self.stream.take(data or b"", at, first=output_first)
        if data or self.journal.count != self.steps_seen:
            self.steps_seen = self.journal.count
            self.active = time.monotonic()

    def _reap(self) -> None:
        """Note the script's end, and take every other dead descendant out of the process table."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.script.pid:
                self.wait_status = status
                self.ended_at = time.monotonic()
                self._look_for_start_error()

    def _look_for_start_error(self) -> None:
        number = os.read(self.script.errors, 16)
        if number:
            self._note_start_error(*launch.explain(int(number), self.argv, self.cwd))

    def _note_start_error(self, status: int, why: str) -> None:
        self.start_status, self.start_error = status, why
        self.log.say(why)

    def _look_for_requests(self) -> None:
        if time.monotonic() < self.next_look:
            return
        self.next_look = time.monotonic() + LOOK
        if self.reports_end:
            self.reported = self.reported or self.folder.requested("finish")
        cancel = self.folder.requested("cancel")
        if cancel is not None:
            self._end("cancel", f"cancelled by {cancel.get('by')}")

    def _enforce_limits(self) -> None:
        at = time.monotonic()
        if at >= self.begun + self.timeout:
            self._end("timeout", f"no end after {_duration(self.timeout)} (timeout)")
        elif self.silence is not None and at >= self.active + self.silence:
            self._end("silence", f"no output and no step for {_duration(self.silence)} (silence_timeout)")

    # --- ending ---

    def _end(self, by: str, why: str) -> None:
        """Ask the whole tree to end; a script that has ended before keeps its own outcome."""
        self._reap()
        if self.ended_by is not None or (self.wait_status is not None and not self._waits_for_word()):
            return
        self.ended_by, self.why = by, why
        self.log.say(why)
        self.kill_at = time.monotonic() + self.kill_grace
        for pid in tree.descendants(os.getpid()):
            tree.send(pid, signal.SIGTERM)

    def _kill_rest(self) -> None:
        if self.ended_by is not None and time.monotonic() >= self.kill_at:
            for pid in tree.descendants(os.getpid()):
                tree.send(pid, signal.SIGKILL)

    def _waits_for_word(self) -> bool:
        """Whether the script has ended well, its service wants the end reported, and that was not done yet."""
        well = self.wait_status == 0 and not self.start_error
        return well and self.reports_end and self.reported is None

    def _done(self) -> bool:
        if self.ended_by is not None and time.monotonic() >= self.kill_at + GIVE_UP:
            return True
        if self.wait_status is None:
            return False
        if self.ended_by is not None:
            return not tree.descendants(os.getpid())
        if self._waits_for_word():
            return False
        return self.drained or time.monotonic() >= self.ended_at + LINGER

    def _conclude(self) -> None:
        if not self.drained:
            self._pump(output_first=True)
        self.stream.finish()
        if self.log.dropped:
            self.log.say(f"{self.log.dropped} bytes of output were lost: no space left on the disk")
        with contextlib.suppress(OSError):
            os.unlink(self.folder.file("config.json"))
        self.folder.write_exit(self._record())

    def _record(self) -> dict[str, object]:
        outcome, reason = self._outcome()
        code = os.waitstatus_to_exitcode(self.wait_status or 0)
        if self.start_error:
            code = self.start_status
        return {
            "format": 1,
            "outcome": outcome,
            "reason": self.masker.text(reason)[:1000],
            "exit_status": code if code >= 0 and (self.wait_status is not None or self.start_error) else None,
            "signal": -code if code < 0 else None,
            "ended_by": self.ended_by,
            "started": self.started,
            "finished": now(),
            "log_end": self.log.end,
        }

    def _outcome(self) -> tuple[str, str]:
        if self.ended_by is not None:
            return ("cancelled" if self.ended_by == "cancel" else "failure"), self.why
        if self.start_error:
            return "failure", self.start_error
        code = os.waitstatus_to_exitcode(self.wait_status or 0)
        if code < 0:
            return "failure", f"killed by {_signal_name(-code)}"
        if code > 0:
            return "failure", f"exit status {code}"
        if self.reported is not None:
            return _reported(str(self.reported["state"]), str(self.reported["message"]))
        return "success", ""


class Complaints(io.TextIOBase):
    """What the child itself has to complain of, such as a traceback, without what its script was given."""

    def __init__(self, masker: Masker) -> None:
        self._masker = masker

    def write(self, text: str) -> int:
        """Write at once, as it comes."""
        os.write(2, self._masker.text(text).encode(errors="backslashreplace"))
        return len(text)


def _reported(state: str, message: str) -> tuple[str, str]:
    """The outcome a script reported; a failure always has a reason."""
    return state, message or ("" if state == "success" else f"its script reported {state}")


def _duration(seconds: float) -> str:
    """Seconds in words as short as `1m 30s`."""
    whole = int(seconds)
    if whole != seconds:
        return f"{seconds:g}s"
    parts = [(whole // 3600, "h"), (whole // 60 % 60, "m"), (whole % 60, "s")]
    return " ".join(f"{value}{unit}" for value, unit in parts if value) or "0s"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


if __name__ == "__main__":
    main()
