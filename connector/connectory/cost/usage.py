"""What answers say they used, in all the shapes that the API has for it, added up by model."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from connectory.record import Result

Counts: TypeAlias = dict[str, int]
"""What requests to one model came to; a name that is missing is 0.

`requests` are those that left, retries too, `answers` those that were answered, `deliveries` the records that have an
outcome. Of the `input` tokens some are `cached`, `written` (to the cache), `input_audio` or `input_image`; of the
`output` tokens some are `reasoning`, `output_audio` or `output_image`. `total` is what the answers call all of them.
`images` were made; `microseconds` of sound were heard. `unknown` counts the requests that may have been charged, and
nobody said what they used, `doubtful` those of them without an answer; `guessed_input` and `guessed_output` are what
was reserved for them.
"""

MICRO = 1_000_000
_MOST = 10**15
"""A count beyond which it is none."""

_DETAILS = {
    "cached": ("cached_tokens",),
    "written": ("cache_write_tokens",),
    "input_audio": ("audio_tokens",),
    "input_image": ("image_tokens",),
}
_OUTPUT_DETAILS = {
    "reasoning": ("reasoning_tokens",),
    "output_audio": ("audio_tokens",),
    "output_image": ("image_tokens",),
}


class Tally:
    """Adds up the results of a run; `changes` counts those that used something."""

    def __init__(self, models: Mapping[str, Mapping[str, int]] | None = None) -> None:
        self.changes = 0
        self.models: dict[str, Counts] = {name: {**counts} for name, counts in (models or {}).items()}

    def add(self, result: Result) -> None:
        """Take in what became of a delivery; what was not sent, or bought in another run, used nothing."""
        if result.earlier or result.status == "begun" or not (result.attempts or result.in_doubt):
            return
        usage = result.usage
        model = result.model or model_of(result.response)
        counts = self.models.get(model)
        if counts is None:
            counts = self.models[model] = {}
        self.changes += 1
        own = result.attempts if result.requests is None else result.requests
        answered = result.status == "ok" or result.response is not None
        found: Counts = {
            "requests": own,
            "deliveries": int(result.attempts > 0),
            "answers": 1 if answered and own else 0,
        }
        if usage is not None:
            found |= read_usage(usage)
        if model and (images := _images(result.response)):
            found["images"] = images
        silent = answered and usage is None and bool(model)
        if (own or not result.attempts) and (silent or result.in_doubt):
            found["unknown"] = silent + result.in_doubt
            found["doubtful"] = int(result.in_doubt)
            if result.guess is not None:
                found["guessed_input"], found["guessed_output"] = (
                    one * found["unknown"] for one in result.guess
                )
        for name, amount in found.items():
            if amount:
                counts[name] = counts.get(name, 0) + amount

    def copy(self) -> dict[str, Counts]:
        """Give what was counted until now."""
        return {model: {**counts} for model, counts in self.models.items()}

    def merge(self, models: Mapping[str, Mapping[str, int]]) -> None:
        """Add what another one has counted."""
        for model, more in models.items():
            counts = self.models.setdefault(model, {})
            for name, amount in more.items():
                counts[name] = counts.get(name, 0) + amount

    def sum(self, *names: str) -> int:
        """Sum up counts over all models."""
        return sum(counts.get(name, 0) for counts in self.models.values() for name in names)

    @property
    def tokens(self) -> int:
        """Count all tokens, and what was reserved where nobody said how many there were."""
        return self.sum("total", "guessed_input", "guessed_output")


def model_of(value: Any) -> str:
    """Name the model that a payload or an answer names; empty where it names none."""
    model: Any = cast("dict[str, Any]", value).get("model") if isinstance(value, dict) else None
    return model if isinstance(model, str) else ""


def read_usage(usage: Mapping[str, Any]) -> Counts:
    """Read one account of what was used: by tokens, of whichever endpoint, or by the length of a sound."""
    found: Counts = {}
    read = _count(usage, "prompt_tokens", "input_tokens")
    written = _count(usage, "completion_tokens", "output_tokens")
    total = _count(usage, "total_tokens")
    if total is None:
        total = (read or 0) + (written or 0)
    found["input"] = total - (written or 0) if read is None else read
    found["output"], found["total"] = written or 0, total
    for details in ("prompt_tokens_details", "input_tokens_details", "input_token_details"):
        _take(found, usage.get(details), _DETAILS)
    for details in ("completion_tokens_details", "output_tokens_details", "output_token_details"):
        _take(found, usage.get(details), _OUTPUT_DETAILS)
    seconds: Any = usage.get("seconds")
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds < _MOST:
        found["microseconds"] = int((Decimal(str(seconds)) * MICRO).to_integral_value())
    return found


def _take(found: Counts, details: Any, names: Mapping[str, Sequence[str]]) -> None:
    if isinstance(details, dict):
        for name, keys in names.items():
            if amount := _count(cast("dict[str, Any]", details), *keys):
                found[name] = amount


def _count(counts: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value: Any = counts.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _MOST:
            return int(value)
    return None


def _images(response: Any) -> int:
    """Count the pictures in an answer."""
    data: Any = cast("dict[str, Any]", response).get("data") if isinstance(response, dict) else None
    if not isinstance(data, list):
        return 0
    items: list[Any] = data  # pyright: ignore[reportUnknownVariableType]  # any JSON
    return sum(
        isinstance(one, dict) and bool({"b64_json", "url"} & cast("dict[str, Any]", one).keys())
        for one in items
    )
