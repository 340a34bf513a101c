"""The lines of the table: a module for each, whose LINE says what is compared with what, and what must hold."""

from __future__ import annotations

import importlib
import pkgutil

from bench.table import Line


def every() -> list[Line]:
    """All lines, by number."""
    modules = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    lines: list[Line] = [module.LINE for module in modules]
    return sorted(lines, key=lambda line: line.number)
