"""Prepared queries: their text is made once, where making it anew would cost more than running it.

For what is asked at every push, and by every page; everything else says what it wants to peewee directly.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
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
    """A query as one engine takes it. Any: values of every type that a column has."""

    sql: str
    constants: tuple[Any, ...]
    """What of its parameters is the same each time."""
    order: tuple[int, ...] | None
    """Where each parameter stands among the values and, behind them, the constants; None where that is the order."""
    model: Any
    """The model of its rows; None where they are of none."""


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
        data = dict(zip(self.names, found, strict=True))
        if self.others:
            data = {**self.others, **data}
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
        cursor = self._ran(values)
        found = cursor.fetchall()
        if not found:
            return []
        shape = self._shape = self._shape or _shape(
            self._texts[type(proxy.obj)].model, [column[0] for column in cursor.description]
        )
        return [shape.row(each) for each in found]

    def tuples(self, *values: object) -> list[tuple[Any, ...]]:
        """Every row as the driver gives it; Any, as it is whatever was selected."""
        rows: list[tuple[Any, ...]] = self._ran(values).fetchall()
        return rows

    def run(self, *values: object) -> int:
        """How many rows it changed."""
        changed: int = self._ran(values).rowcount
        return changed

    def insert(self, *values: object) -> int | None:
        """The id of the row that it made, the last one of several; None where it made none."""
        cursor = self._ran(values)
        if not proxy.obj.returning_clause:
            number: int = cursor.lastrowid
            return number if cursor.rowcount else None
        made: Sequence[tuple[int]] = cursor.fetchall()
        return made[-1][0] if made else None

    def _ran(self, values: Sequence[object]) -> Any:
        """The driver's cursor after the query with these values. One function, as each call counts twelve times a push.

        A text goes without NUL, which PostgreSQL does not take, and without the class of a StrEnum.
        """
        base = proxy.obj
        text = self._texts.get(type(base)) or self._made(type(base))
        filled = [
            value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value for value in values
        ]
        if text.order is not None:
            filled += text.constants
            filled = [filled[place] for place in text.order]
        return base.execute_sql(text.sql, filled)

    def _made(self, kind: type) -> _Text:
        query = self._build(*(peewee.Value(place, converter=False) for place in self._places))
        sql, parameters = query.sql()
        constants = tuple(each for each in parameters if not isinstance(each, _Place))
        behind = iter(range(len(self._places), len(self._places) + len(constants)))
        order = tuple(each.number if isinstance(each, _Place) else next(behind) for each in parameters)
        in_order = order == tuple(range(len(self._places)))
        text = self._texts[kind] = _Text(sql, constants, None if in_order else order, getattr(query, "model", None))
        return text


class Insert(Generic[M]):
    """Inserts rows of a model, always with values for the same columns; the others take the model's defaults.

    Where the driver tells the new id by itself, nothing is asked: SQLite's RETURNING copies the row, a body and all.
    """

    def __init__(self, model: type[M], *columns: str) -> None:
        def build(*values: object) -> Any:
            return model.insert(dict(zip(columns, values, strict=True)))

        self._model = model
        self._pick = itemgetter(*columns)
        self._keys = [field.name for field in model._meta.refs if field.name in columns]
        self._defaults = _defaults(model)
        self._query: Prepared[M] = Prepared(lambda *values: _telling(build(*values)), places=len(columns))
        self._news: Prepared[M] = Prepared(
            lambda *values: _telling(build(*values).on_conflict("nothing")), places=len(columns)
        )

    def run(self, **values: Any) -> M:
        """The new row; foreign keys by rows or ids. Any: each value is of its column's type."""
        row = self._run(self._query, values)
        if row is None:
            raise RuntimeError(f"no row of {self._model.__name__} was made")
        return row

    def run_if_new(self, **values: Any) -> M | None:
        """The same; None where there is another row with a value that is to be unique."""
        return self._run(self._news, values)

    def number(self, **values: Any) -> int:
        """The new row's id alone; foreign keys by ids."""
        return cast("int", self._query.insert(*self._pick(values)))

    def _run(self, query: Prepared[M], values: dict[str, Any]) -> M | None:
        data, known = {**self._defaults, **values}, {}
        for name in self._keys:
            if isinstance(row := values[name], peewee.Model):
                known[name], data[name] = row, row.__data__["id"]
        data["id"] = query.insert(*self._pick(data))
        return None if data["id"] is None else cast("M", _filled_in(self._model, data, known))


def said(row: peewee.Model) -> Callable[[str], Any]:
    """What a row has in a field, by its name; foreign keys by ids. For who reads twenty: each field is slow to tell.

    Any: of each field's type.
    """
    values: dict[str, Any] = row.__data__
    return values.get


def _telling(insert: Any) -> Any:
    """An insert that answers the new id on the engines whose drivers do not tell it. Any: peewee's queries."""
    return insert.returning(peewee.SQL("id")) if proxy.obj.returning_clause else insert


def at_hand(row: peewee.Model, name: str) -> Any:
    """The row that a foreign key of that name leads to, where it was read, or given, already; else None.

    Any: it is of that key's model.
    """
    return row.__rel__.get(name)


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
    row = model.__new__(model)
    row.__data__, row.__rel__, row._dirty = data, dict(known), set()
    return row
