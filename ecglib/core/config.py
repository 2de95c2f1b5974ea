"""Configs: frozen, checked, and hashed into the id of their run.

The id hashes only fields that differ from their defaults. New fields with a default keep old ids; never change an
existing default.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from types import UnionType
from typing import Any, ClassVar, Literal, get_args, get_origin, get_type_hints

from ecglib.core.errors import EcglibError


class Checked:
    """Base of a frozen dataclass whose values are checked against the annotations of its fields.

    An int in a field of type float becomes a float, so that `temperature=4` and `temperature=4.0` are one config.

    Raises:
        EcglibError: a value is not of its field's type, not among a `Literal`'s choices, or not within `LIMITS`.
    """

    LIMITS: ClassVar[Mapping[str, tuple[float, float]]] = {}  # field -> its least and its largest value

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = _checked(getattr(self, field.name), hints[field.name], f"{type(self).__name__}.{field.name}")
            object.__setattr__(self, field.name, value)
        for name, (least, most) in self.LIMITS.items():
            value = getattr(self, name)
            if not least <= value <= most:  # NaN is in no range
                upper = "" if math.isinf(most) else f" and at most {most:g}"
                raise EcglibError(f"{type(self).__name__}.{name} is {value}: it must be at least {least:g}{upper}.")


def _checked(value: Any, hint: Any, name: str) -> Any:
    """`value` in the type of `hint`; only annotations that configs have are supported."""
    origin, choices = get_origin(hint), get_args(hint)
    if origin is Literal:
        if value not in choices:
            raise EcglibError(f"{name} is {value!r}: choose one of {', '.join(map(str, choices))}.")
        return value
    if origin is UnionType:  # X | None
        return None if value is None else _checked(value, choices[0], name)
    if origin is tuple:
        if not isinstance(value, tuple | list):
            raise EcglibError(f"{name} is {value!r}: give a tuple.")
        return tuple(_checked(one, choices[0], name) for one in value)
    if hint is float and type(value) is int:
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise EcglibError(f"{name} is {value!r}: it must be of type {hint.__name__}.")
    return value


def differences(settings: Any) -> dict[str, Any]:
    """The fields of a dataclass that have no default or differ from it, JSON-ready, with nested dataclasses likewise.

    A field whose metadata has a "key" is written under that name, which it had when the committed runs were stored.
    """
    found = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if field.default is dataclasses.MISSING or value != field.default:
            key = field.metadata.get("key", field.name)
            found[key] = differences(value) if dataclasses.is_dataclass(value) else value
    return found


def digest(*settings: Any) -> str:
    """Ten hexadecimal digits of dataclasses; equal ones have equal digests."""
    facts = [differences(one) for one in settings]
    return digest_of(facts[0] if len(facts) == 1 else facts)


def digest_of(facts: Any) -> str:
    """The same of what `differences` gave, which is what a run's `config.json` holds."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:10]
