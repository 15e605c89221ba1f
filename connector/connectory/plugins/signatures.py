"""What a transformer's signature says: its options and their types, and what it may return."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from types import NoneType, SimpleNamespace
from typing import Any, TypeAlias, cast, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from connectory.errors import ConfigError, did_you_mean
from connectory.interfaces import Context, Memory, Reader
from connectory.plugins.describing import schema_of
from connectory.plugins.docstrings import description, examples, option_docs, summary
from connectory.plugins.marks import AT_ONCE, MARK, ONE_OF

Function: TypeAlias = Callable[..., Any]
Complaint: TypeAlias = "tuple[tuple[str | int, ...], str]"
"""Where in the options something is wrong, and what."""

_MODULES = re.compile(r"\b(?:[a-z_]\w*\.)+(?=\w)")
_OR_NONE = re.compile(r"\b(None|Optional)\b")


@dataclass(frozen=True)
class Option:
    """One keyword-only parameter of a transformer.

    `type` is its annotation as it is written, `doc` what the docstring says of it below `Options:`.
    """

    name: str
    type: str
    annotation: Any = field(repr=False)
    default: Any = inspect.Parameter.empty
    doc: str = ""

    @property
    def required(self) -> bool:
        """Say whether a step must give it."""
        return self.default is inspect.Parameter.empty

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        """Give what checks a value of its type."""
        try:
            return TypeAdapter(self.annotation)
        except (PydanticSchemaGenerationError, PydanticUserError):
            raise ConfigError(
                f"option {self.name!r} has the type {self.type}, which cannot be checked"
            ) from None

    def schema(self) -> dict[str, Any]:
        """Describe what a step may give for it, as JSON Schema."""
        described: dict[str, Any] = {"description": self.doc} if self.doc else {}
        return {**schema_of(self.adapter), **described}

    def check(self, value: Any, surroundings: Any = None) -> Any:
        """Give the value as its type wants it; raises pydantic's ValidationError."""
        return self.adapter.validate_python(value, context=surroundings)


class NestedError(ConfigError):
    """Steps inside an option are wrong; `complaints` say where in the option, and what."""

    def __init__(self, complaints: list[Complaint]) -> None:
        self.complaints = complaints
        super().__init__("\n".join(what for _, what in complaints))


@dataclass(frozen=True)
class Transformer:
    """A function or class that can be a step, and what its signature says.

    A class keeps a state: its constructor takes the options, its instances the record. `waits` says that it is awaited,
    `at_once` that it may wait for several records at the same time.
    """

    name: str
    origin: str
    function: Function = field(repr=False)
    options: Mapping[str, Option]
    value: str | None
    context: str | None
    may_drop: bool
    memory: str | None = None
    one_of: tuple[str, ...] = ()
    waits: bool = False
    reader: str | None = None
    at_once: bool = False
    kind: str = "transformer"

    @property
    def is_class(self) -> bool:
        """Say whether a step makes an object of it."""
        return isinstance(self.function, type)

    def bind(self, arguments: Mapping[str, Any]) -> Function:
        """Give what takes the record: the function with its options, or a new object. Raises ConfigError."""
        if not self.is_class:
            return partial(self.function, **arguments)
        try:
            return cast("Function", self.function(**arguments))
        except ConfigError as error:
            label = f"{self.kind} {self.name!r}"
            raise ConfigError(
                replace(one, message=f"{label}: {one.message}") for one in error.problems
            ) from error
        except (
            Exception
        ) as error:  # a plug-in's own code: whatever it raises is a problem of the configuration
            problem = f"{type(error).__name__}: {error}"
            raise ConfigError(f"transformer {self.name!r} cannot be made: {problem}") from error

    @property
    def doc(self) -> str:
        """The first line of the function's docstring."""
        return summary(self.function)

    @property
    def description(self) -> str:
        """The whole docstring up to its options."""
        return description(self.function)

    def check(self, written: Any, surroundings: Any = None) -> tuple[dict[str, Any], list[Complaint]]:
        """Check a step's options; give the function's arguments, and all that is wrong.

        `surroundings` is what options that name files (`folder`) or hold steps (`steps`) are made with.
        """
        given, complaints = self._given(written)
        odd = bool(complaints)  # a name that is not known may be meant for one that is missing
        checked: dict[str, Any] = {}
        for name, value in given.items():
            try:
                checked[name] = self.options[name].check(value, surroundings)
            except ValidationError as error:
                complaints += self._invalid(name, error, bare=self._is_bare(written))
        for name, option in self.options.items():
            if option.required and name not in given and not odd:
                what = f"a value, its {name!r}" if name == self.value else f"the option {name!r}"
                complaints.append(((), f"{self.kind} {self.name!r} needs {what} ({option.type})"))
        chosen = [name for name in self.one_of if given.get(name) is not None]
        if self.one_of and len(chosen) != 1 and not complaints:
            names = " or ".join(map(repr, self.one_of))
            what = f"has {' and '.join(map(repr, chosen))}; give one of them" if chosen else f"needs {names}"
            complaints.append(((), f"{self.kind} {self.name!r} {what}"))
        return checked, complaints

    @property
    def examples(self) -> list[Any]:
        """What the docstring shows below `Examples:`: options as a step gives them, a line of JSON each."""
        return examples(self.function)

    def schema(self) -> dict[str, Any]:
        """Describe what a step may give as options, as JSON Schema."""
        properties = {name: one.schema() for name, one in self.options.items()}
        shown = [self._given(one)[0] for one in self.examples]
        for name, described in properties.items():
            values: list[Any] = [given[name] for given in shown if name in given]
            if values:
                described["examples"] = [one for at, one in enumerate(values) if one not in values[:at]]
        if self.value and len(properties) == 1:
            return properties[self.value]
        required = [name for name, option in self.options.items() if option.required]
        whole = {
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
            "required": required,
        }
        # what is an object gives the options by their names
        return (
            {"if": {"type": "object"}, "then": whole, "else": properties[self.value]} if self.value else whole
        )

    def _given(self, written: Any) -> tuple[dict[str, Any], list[Complaint]]:
        if written is None:
            return {}, []
        if self.value and self._is_bare(written):
            return {self.value: written}, []
        if not isinstance(written, dict):
            return {}, [((), f"{self.kind} {self.name!r} takes {self._choice()}, as an object")]
        given = cast("dict[str, Any]", written)
        unknown = [name for name in given if name not in self.options]
        if not unknown:
            return given, []
        known = {name: value for name, value in given.items() if name in self.options}
        return known, [((str(name),), self._unknown(str(name))) for name in unknown]

    def _is_bare(self, written: Any) -> bool:
        return self.value is not None and (len(self.options) == 1 or not isinstance(written, dict))

    def _unknown(self, name: str) -> str:
        guess = did_you_mean(name, self.options)
        return f"{self.kind} {self.name!r} has no option {name!r}{guess or f'; it takes {self._choice()}'}"

    def _choice(self) -> str:
        return f"the options {', '.join(self.options)}" if self.options else "no options"

    def _invalid(self, name: str, error: ValidationError, *, bare: bool) -> list[Complaint]:
        complaints: list[Complaint] = []
        for one in error.errors(include_url=False):
            place = one["loc"] if bare else (name, *one["loc"])
            way = ".".join(str(step) for step in (name, *one["loc"]) if step != "[key]")
            label = f"{self.kind} {self.name!r}, option {way!r}"
            cause = getattr(one.get("ctx", {}).get("error"), "__cause__", None)
            if isinstance(cause, NestedError):
                complaints += [((*place, *where), what) for where, what in cause.complaints]
            elif isinstance(cause, ConfigError):
                for problem in cause.problems:
                    inner = [
                        int(step) if step.isdigit() else step for step in problem.path.split(".") if step
                    ]
                    complaints.append(((*place, *inner), f"{label}: {problem.message}"))
            else:
                words = one["msg"].removeprefix("Value error, ")
                words = words[:1].lower() + words[1:]
                found = "" if one["type"] == "value_error" else f", not {_kind(one['input'])}"
                complaints.append((place, f"{label}: {words}{found}"))
        return complaints


def read_signature(name: str, function: Function, *, origin: str) -> Transformer:
    """Read the signature of a function, or of a class; one that no step can have is a ConfigError."""
    what = f"transformer {name!r}"
    if not callable(function):
        raise ConfigError(f"{what} is no function")
    call = _call_of(function, what=what) if isinstance(function, type) else function
    signature = _signature(call, what=what)
    parameters = list(signature.parameters.values())
    if isinstance(function, type):
        parameters = parameters[1:]
    if not parameters or parameters[0].kind not in _POSITIONAL:
        raise ConfigError(f"{what} must take the record as its first argument")
    hints = {one.name: _resolve(call, one.annotation, what=what) for one in parameters[1:]}
    context, memory, reader = (_handed(hints, wanted) for wanted in (Context, Memory, Reader))
    given = [one for one in parameters[1:] if one.name not in {context, memory, reader}]
    if isinstance(function, type):
        if given:
            raise ConfigError(
                f"{what} takes {given[0].name!r} beside the record; the options of a class are parameters of '__init__'"
            )
        given = _made_with(function, what=what)
        maker: Function = getattr(function, "__init__")  # noqa: B009 - mypy calls `function.__init__` unsound
        hints = {one.name: _resolve(maker, one.annotation, what=what) for one in given}
        reader = _handed(hints, Reader)
        given = [one for one in given if one.name != reader]
    after = "self" if isinstance(function, type) else "the record"
    options = _options(given, hints, option_docs(function), what=what, after=after)
    value = cast("str | None", getattr(function, MARK, None))
    if value is not None and value not in options:
        raise ConfigError(f"{what} is marked with value={value!r}, which is none of its options")
    may_drop = _allows_none(call, signature.return_annotation)
    one_of: tuple[str, ...] = getattr(function, ONE_OF, ())
    return Transformer(
        name,
        origin,
        function,
        options,
        value,
        context,
        may_drop,
        memory,
        one_of,
        waits=_is_awaited(call),
        reader=reader,
        at_once=bool(getattr(function, AT_ONCE, False)),
    )


def _handed(hints: Mapping[str, Any], wanted: type) -> str | None:
    """Name the parameter that is handed an object of the engine's, where there is one."""
    return next((one for one, hint in hints.items() if hint is wanted), None)


def options_of(function: Function, *, what: str) -> dict[str, Option]:
    """Read the options of a function or class that takes nothing else. Raises ConfigError."""
    if isinstance(function, type):
        given = _made_with(function, what=what)
        maker: Function = getattr(function, "__init__")  # noqa: B009 - mypy calls `function.__init__` unsound
    else:
        given, maker = list(_signature(function, what=what).parameters.values()), function
    hints = {one.name: _resolve(maker, one.annotation, what=what) for one in given}
    return _options(
        given, hints, option_docs(function), what=what, after="self" if isinstance(function, type) else ""
    )


def _options(
    given: list[inspect.Parameter],
    hints: Mapping[str, Any],
    docs: Mapping[str, str],
    *,
    what: str,
    after: str,
) -> dict[str, Option]:
    for one in given:
        if one.kind is not inspect.Parameter.KEYWORD_ONLY:
            where = f"after {after}" if after else "before it"
            raise ConfigError(f"{what} has the option {one.name!r} that is not keyword-only; put '*' {where}")
    return {
        one.name: Option(
            one.name, _spell(one.annotation), hints[one.name], one.default, docs.get(one.name, "")
        )
        for one in given
    }


def _call_of(made: type, *, what: str) -> Function:
    call = getattr(made, "__call__", None)  # noqa: B004 - its signature is wanted, not whether there is one
    if not inspect.isfunction(call):
        raise ConfigError(f"{what} is a class without '__call__(self, record)', which takes each record")
    return call


def _made_with(made: type, *, what: str) -> list[inspect.Parameter]:
    """Give what the constructor of a class takes."""
    if "__init__" not in {
        name for one in made.__mro__[:-1] for name in vars(one)
    }:  # object's own takes nothing
        return []
    return list(_signature(made, what=what).parameters.values())


def _signature(function: Function, *, what: str) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except (ValueError, TypeError):
        raise ConfigError(f"{what} has no readable signature; wrap it in a function of your own") from None


def _is_awaited(call: Function) -> bool:
    """Say whether a function, or what an object does when it is called, is asynchronous."""
    kinds = [call, getattr(type(call), "__call__", None)]  # noqa: B004 - the same
    return any(inspect.iscoroutinefunction(one) or inspect.isasyncgenfunction(one) for one in kinds)


_POSITIONAL = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}


def _resolve(function: Function, annotation: Any, *, what: str) -> Any:
    if annotation is inspect.Parameter.empty:
        return Any
    holder = SimpleNamespace(__annotations__={"it": annotation})
    names = getattr(inspect.unwrap(function), "__globals__", None)
    if names is None:  # an object that can be called: its class says where its names are
        names = getattr(type(function).__call__, "__globals__", {})
    try:
        return get_type_hints(holder, globalns=names, include_extras=True)["it"]
    except (NameError, TypeError, AttributeError, SyntaxError) as error:
        raise ConfigError(
            f"{what} has the annotation {_spell(annotation)!r}, which cannot be resolved: {error}; "
            "import its names outside 'if TYPE_CHECKING'"
        ) from None


def _allows_none(function: Function, annotation: Any) -> bool:
    """Say whether a returned None was meant: only an annotation can tell it from a forgotten return."""
    try:
        hint = _resolve(function, annotation, what="")
    except ConfigError:
        # A name that is imported for type checkers only; the text still tells.
        return bool(_OR_NONE.search(str(annotation)))
    return hint is NoneType or NoneType in get_args(hint)


def _spell(annotation: Any) -> str:
    if annotation is inspect.Parameter.empty:
        return "any"
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return _MODULES.sub("", text)


def _kind(value: Any) -> str:
    names = {
        "dict": "an object",
        "list": "a list",
        "str": "a text",
        "bool": "true or false",
        "NoneType": "null",
    }
    return names.get(type(value).__name__, "a number" if isinstance(value, (int, float)) else "that")
