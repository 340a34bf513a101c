"""Prepared queries: their text is made once, where making it anew would cost more than running it.

For what is asked at every push, and by every page; everything else says what it wants to peewee directly.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar, cast

import msgspec
import peewee

from fastdeploy_bot.store.models import proxy

M = TypeVar("M", bound=peewee.Model)


_AS_THEY_COME: Final = (peewee.TextField, peewee.IntegerField, peewee.ForeignKeyField)
"""The fields whose values every driver gives as rows have them."""


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


class _Shape(msgspec.Struct, frozen=True):
    """How what the driver gives becomes a row of a model. Any: of every type that a column has."""

    model: Any
    names: tuple[str, ...]
    """The fields that come, in their order."""
    others: Mapping[str, Any]
    """What a row has where nothing comes."""
    converted: Mapping[str, Callable[[Any], Any]]
    """How, of what does not come as rows have it."""

    def row(self, found: Sequence[Any]) -> Any:
        """A row, as its model shows it."""
        data = {**self.others, **dict(zip(self.names, found, strict=True))}
        for name, convert in self.converted.items():
            data[name] = convert(data[name])
        return _filled_in(self.model, data)


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
        self._shape: _Shape | None = None

    def first(self, *values: object) -> M | None:
        """The first row; None where there is none."""
        rows = self.all(*values)
        return rows[0] if rows else None

    def all(self, *values: object) -> list[M]:
        """Every row, of a query for columns of one model."""
        text = self._text()
        cursor = proxy.obj.execute_sql(text.sql, _filled(text, values))
        shape = self._shape = self._shape or _shape(text.model, [column[0] for column in cursor.description])
        return [shape.row(found) for found in cursor.fetchall()]

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
        self._defaults = _defaults(model)
        self._query: Prepared[M] = Prepared(build, places=len(columns))

    def run(self, **values: Any) -> M:
        """The new row. Any: each value is of its column's type."""
        rows = {name: value for name, value in values.items() if isinstance(value, peewee.Model)}
        data = values | {name: row.__data__["id"] for name, row in rows.items()}
        [[number]] = self._query.tuples(*[data[name] for name in self._columns])
        return cast("M", _filled_in(self._model, {**self._defaults, **data, "id": number}, rows))


def at_hand(row: peewee.Model, name: str) -> Any:
    """The row that a foreign key of that name leads to, where it was read, or given, already; else None.

    Any: it is of that key's model.
    """
    return row.__rel__.get(name)


def altered(row: M, changed: Mapping[str, Any]) -> M:
    """Another row of the same model: that one, but with these values; foreign keys by their ids."""
    kept = {name: known for name, known in row.__rel__.items() if name not in changed}
    return cast("M", _filled_in(type(row), {**row.__data__, **changed}, kept))


def _shape(model: Any, columns: Sequence[str]) -> _Shape:
    """How rows of these columns are made. Any, as peewee's types know no fields without their model."""
    fields = [model._meta.columns[column] for column in columns]
    names = tuple(field.name for field in fields)
    others = {name: value for name, value in _defaults(model).items() if name not in names}
    converted = {field.name: field.python_value for field in fields if not isinstance(field, _AS_THEY_COME)}
    return _Shape(model, names, others, converted)


def _defaults(model: Any) -> dict[str, Any]:
    """What a model's fields have where nothing else is said; of each column's own type."""
    defaults: dict[str, Any] = model._meta.get_default_dict()
    return defaults


def _filled_in(model: Any, data: dict[str, Any], known: Mapping[str, peewee.Model] = {}) -> Any:
    """A row with this data: not by setting each field, as there are twenty, and each would look for its model."""
    row = model(__no_default__=True)
    row.__data__ = data
    row.__rel__.update(known)
    return row


def _filled(text: _Text, values: tuple[object, ...]) -> list[object]:
    """The parameters with values in their places, as the engines take them."""
    return [_plain(values[each.number]) if isinstance(each, _Place) else each for each in text.parameters]


def _plain(value: object) -> object:
    """A text without NUL, which PostgreSQL does not take, and without the class of a StrEnum."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value
