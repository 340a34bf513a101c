"""Prepared queries: their text is made once, where making it anew would cost more than running it.

For what is asked at every push, and by every page; everything else says what it wants to peewee directly.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

import msgspec
import peewee

from fastdeploy_bot.store.models import proxy

M = TypeVar("M", bound=peewee.Model)


class _Place(msgspec.Struct, frozen=True):
    """Where a value comes in."""

    number: int


class _Text(msgspec.Struct, frozen=True):
    """A query as one engine takes it."""

    sql: str
    parameters: tuple[Any, ...]
    """The values in their order; a place where one is yet to come. Any: of every type that a column has."""
    model: Any
    """The model of its rows."""


class Prepared(Generic[M]):
    """A query with places for values, in the order of `build`'s arguments. Any thread may run it."""

    def __init__(self, build: Callable[..., Any], *, places: int | None = None) -> None:
        """`build` makes peewee's query from so many values, without a number as many as it has arguments.

        Any: peewee's types do not say what its queries have in common.
        """
        count = len(inspect.signature(build).parameters) if places is None else places
        self._build = build
        self._places = [_Place(number) for number in range(count)]
        self._texts: dict[type, _Text] = {}

    def first(self, *values: object) -> M | None:
        """The first row; None where there is none."""
        rows = self.all(*values)
        return rows[0] if rows else None

    def all(self, *values: object) -> list[M]:
        """Every row, of a query for columns of one model."""
        text = self._text()
        cursor = proxy.obj.execute_sql(text.sql, _filled(text, values))
        fields = [text.model._meta.columns[column[0]] for column in cursor.description]
        return [_row(text.model, fields, found) for found in cursor.fetchall()]

    def tuples(self, *values: object) -> list[tuple[Any, ...]]:
        """Every row as the driver gives it; Any, as it is whatever was selected."""
        text = self._text()
        return cast("list[tuple[Any, ...]]", proxy.obj.execute_sql(text.sql, _filled(text, values)).fetchall())

    def run(self, *values: object) -> int:
        """How many rows it changed."""
        text = self._text()
        return int(proxy.obj.execute_sql(text.sql, _filled(text, values)).rowcount)

    def _text(self) -> _Text:
        kind = type(proxy.obj)
        if kind not in self._texts:
            query = self._build(*(peewee.Value(place, converter=False) for place in self._places))
            sql, parameters = query.sql()
            self._texts[kind] = _Text(sql, tuple(parameters), query.model)
        return self._texts[kind]


class Insert(Generic[M]):
    """Inserts rows of a model, always with values for the same columns; the others take the model's defaults."""

    def __init__(self, model: type[M], *columns: str) -> None:
        def build(*values: object) -> Any:
            return model.insert(dict(zip(columns, values, strict=True))).returning(peewee.SQL("id"))

        self._model = model
        self._columns = columns
        self._query: Prepared[M] = Prepared(build, places=len(columns))

    def run(self, **values: Any) -> M:
        """The new row. Any: each value is of its column's type."""
        plain = [getattr(values[name], "id", values[name]) for name in self._columns]
        [[number]] = self._query.tuples(*plain)
        return self._model(id=number, **values)


def _row(model: Any, fields: list[Any], found: tuple[Any, ...]) -> Any:
    """A row as its model shows it; Any, as peewee's types know no fields without their model."""
    row = model()
    row.__data__.update({field.name: field.python_value(value) for field, value in zip(fields, found, strict=True)})
    return row  # not by setting each field: there are twenty, and every one of them would look for its model


def _filled(text: _Text, values: tuple[object, ...]) -> list[object]:
    """The parameters with values in their places, as the engines take them."""
    return [_plain(values[each.number]) if isinstance(each, _Place) else each for each in text.parameters]


def _plain(value: object) -> object:
    """A text without NUL, which PostgreSQL does not take, and without the class of a StrEnum."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value
