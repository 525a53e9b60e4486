"""What must not be pending twice, by name: a task with its arguments, or an entry of the schedule.

The same call has the same key in every process, however it is written: arguments are put in the order of the task's
own parameters as far as these are known. Keys are short enough to be shown, and long ones end in a digest.
"""

import hashlib
import string
from collections.abc import Iterable
from inspect import Parameter, Signature, signature
from typing import Any

import msgspec

from tidegate.act.gate.overlaps import KeyMaker
from tidegate.errors import UsageError
from tidegate.observe.conf import nearest

_LONGEST = 200
_LONGEST_NAME = 100
_encode = msgspec.json.Encoder(order="deterministic", enc_hook=lambda value: _as_json(value)).encode


class NoKey(Exception):
    """No key can be made from these arguments, so nothing can be told apart by them."""


def parameters_of(task: Any) -> Signature | None:
    """The parameters of a registered task, None where they can't be told."""
    try:
        return signature(task.run)
    except (TypeError, ValueError, AttributeError):
        return None


def key_of(name: str, maker: KeyMaker | None, parameters: Signature | None, args: Any, kwargs: Any) -> str:
    """The key of a call of what is named; some 5 µs. Raises NoKey."""
    args, kwargs = tuple(args or ()), dict(kwargs or {})
    try:
        if maker is None:
            return _bounded(name, _canonical(parameters, args, kwargs))
        made = maker(args, kwargs) if callable(maker) else maker.format(*args, **_by_name(parameters, args, kwargs))
    except Exception as error:
        raise NoKey(f"no key for {name} from its arguments ({type(error).__name__}: {error})") from error
    if not isinstance(made, str) or not made:
        raise NoKey(f"the key of {name} should be text, and is {made!r}")
    return _bounded(name, f"#{made}")


def entry_key(entry: str, maker: KeyMaker | None, parameters: Signature | None, args: Any, kwargs: Any) -> str:
    """The key of a run of an entry: the entry, whatever its arguments, unless it says how to tell its runs apart."""
    name = f"entry {entry}"
    return _bounded(name, "") if maker is None else key_of(name, maker, parameters, args, kwargs)


def refuse_unknown_parameter(where: str, maker: KeyMaker | None, parameters: Signature | None) -> None:
    """Raises UsageError for a format over an argument that the task does not take."""
    if not isinstance(maker, str):
        return
    fields = [field for field in _fields(where, maker) if not field.isdigit()]
    if parameters is None or any(one.kind is Parameter.VAR_KEYWORD for one in parameters.parameters.values()):
        return
    for field in fields:
        if field not in parameters.parameters:
            hint = nearest(field, parameters.parameters) if parameters.parameters else "it takes no arguments"
            raise UsageError(f"{where}: the key {maker!r} asks for {field!r}, which the task does not take: {hint}")


def _fields(where: str, maker: str) -> Iterable[str]:
    try:
        parsed = list(string.Formatter().parse(maker))
    except ValueError as error:
        raise UsageError(f"{where}: the key {maker!r} can't be read as a format ({error})") from error
    for _, field, _, _ in parsed:
        if field is not None:
            name = field.partition(".")[0].partition("[")[0]
            if not name:
                raise UsageError(f"{where}: the key {maker!r} has to name its arguments, as in '{{user_id}}'")
            yield name


def _canonical(parameters: Signature | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    if parameters is not None and kwargs:
        try:
            bound = parameters.bind(*args, **kwargs)
        except TypeError:
            pass  # The worker will say what is wrong with the call.
        else:
            args, kwargs = bound.args, bound.kwargs
    said = _encode(args).decode()[1:-1]
    return f"({said};{_encode(kwargs).decode()})" if kwargs else f"({said})"


def _by_name(parameters: Signature | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    if parameters is None:
        return kwargs
    bound = parameters.bind(*args, **kwargs)
    bound.apply_defaults()
    return {**kwargs, **bound.arguments}


def _bounded(name: str, said: str) -> str:
    if len(name) + len(said) <= _LONGEST:
        return name + said
    digest = hashlib.blake2b((name + said).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"{name[:_LONGEST_NAME]}~{digest}"


def _as_json(value: object) -> object:
    """What Kombu's JSON would make of it, too; an object's own text would name its place in memory."""
    own = getattr(value, "__json__", None)
    if own is None:
        raise NotImplementedError(f"{type(value).__name__} has no JSON")
    return own()
