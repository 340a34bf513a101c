"""Removal: take away what a script left behind, whatever it made of that. The child loads it, so it imports little."""

from __future__ import annotations

import errno
import os


def remove(path: str) -> None:
    """Take a file or folder away, if it is there, whatever a script made of it: deep, read-only, without end."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in (errno.EISDIR, errno.EPERM):
            raise
        os.chmod(path, 0o700)
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            _empty(folder)
        finally:
            os.close(folder)
        os.rmdir(path)


def _empty(folder: int) -> None:
    """Take all out of a folder. What is deep is brought up first: no path can be too long, no stack too small."""
    raised = 0
    while names := os.listdir(folder):
        for name in names:
            if _unlinked(name, folder):
                continue
            os.chmod(name, 0o700, dir_fd=folder)
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            try:
                for each in os.listdir(inner):
                    if not _unlinked(each, inner):
                        os.chmod(each, 0o700, dir_fd=inner)
                        raised += 1
                        os.rename(each, _free(f"{raised}", folder), src_dir_fd=inner, dst_dir_fd=folder)
            finally:
                os.close(inner)
            os.rmdir(name, dir_fd=folder)


def _free(name: str, folder: int) -> str:
    """A name that nothing in the folder has."""
    while _exists(name, folder):
        name += "_"
    return name


def _exists(name: str, folder: int) -> bool:
    try:
        os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    return True


def _unlinked(name: str, folder: int) -> bool:
    """Whether it was no folder, and is gone."""
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in (errno.EISDIR, errno.EPERM):
            raise
        return False
    return True
