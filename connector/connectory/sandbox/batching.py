"""Batches: an input file's lines are checked, answered a thousand at a reading, and written to files."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, cast

from connectory.sandbox.living import become
from connectory.sandbox.refusal import RefusedError
from connectory.sandbox.shapes import ABSENT
from connectory.text.json import JsonTextError, dumps, loads

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from connectory.sandbox.items import Items
    from connectory.sandbox.living import Kept
    from connectory.sandbox.store import Stored

    Wrong = Sequence[str | None]
    """What is wrong with a line: code, message, parameter."""

DAY = 86_400
LINES_A_READING = 1000
MOST_LINES = 50_000
MOST_INPUTS = 50_000
MOST_BYTES = 200 * 1024 * 1024
MOST_RESULTS = 256 * 1024 * 1024
"""How many bytes of results one batch may hold; one that needs more ends as `expired`, with what was done."""

EVERY = 3
"""Of so many requests one meets a fault of its batch."""

_MOST_ERRORS = 100
_ENDINGS = {
    "expired": ("batch_expired", "The batch ended before this request was answered."),
    "cancelled": ("batch_cancelled", "The batch was cancelled before this request was answered."),
}


@dataclass(slots=True)
class Work:
    """How far a batch is: where in its input, and what came out."""

    content: bytes
    fault: str = ""
    offset: int = 0
    lines: int = 0
    answered: int = 0
    done: bytearray = field(default_factory=bytearray)
    refused: bytearray = field(default_factory=bytearray)

    @property
    def size(self) -> int:
        """Give how many bytes it holds besides the input file."""
        return len(self.done) + len(self.refused)


def begun(items: Items, kept: Kept) -> None:
    """Complete a new batch."""
    kept.facts.update({"expires_at": int(items.clock()) + DAY, "model": ABSENT})


def validate(items: Items, kept: Kept) -> bool:
    """Check the input file: its purpose, and every line. A batch with any error fails."""
    stored = items.store.get("/files", kept.facts["input_file_id"])
    problems = _file_problems(stored, kept.facts["input_file_id"])
    if stored is not None and not problems:
        work = kept.stored.work = Work(stored.content or b"", items.fault_of_batch())
        total, model, problems = _checked(work.content, kept.facts["endpoint"])
        problems = problems or _REFUSALS.get(work.fault, [])
        kept.facts["request_counts"] = {"total": total, "completed": 0, "failed": 0}
        kept.facts["model"] = model or ABSENT
    if problems:
        kept.facts["errors"] = {"object": "list", "data": problems}
        kept.stored.work = None
        become(items, kept, "failed")
    return False


_REFUSALS: Mapping[str, list[dict[str, Any]]] = {
    "batch-tokens": [
        {
            "code": "token_limit_exceeded",
            "message": "Enqueued token limit reached for this model. Please try again once some batches are done.",
            "param": None,
            "line": None,
        }
    ],
    "batch-refused": [
        {"code": "invalid_request", "message": "This line is wrong.", "param": "body", "line": 1},
    ],
}
"""What a fault says is wrong with a batch's input."""


def _file_problems(stored: Stored | None, name: str) -> list[dict[str, Any]]:
    if stored is None or stored.content is None:
        return [_problem("invalid_input_file", f"There is no file '{name}'.", "input_file_id")]
    if stored.facts.get("purpose") != "batch":
        return [_problem("invalid_file_purpose", f"File '{name}' is not for batches.", "input_file_id")]
    if len(stored.content) > MOST_BYTES:
        return [
            _problem("file_too_large", f"File '{name}' has more than {MOST_BYTES} bytes.", "input_file_id")
        ]
    return []


def _problem(
    code: str | None, message: str | None, param: str | None, line: int | None = None
) -> dict[str, Any]:
    return {"code": code, "message": message, "param": param, "line": line}


def _lines(content: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """Give each line that is not blank, with the offset of what follows it."""
    while offset < len(content):
        end = content.find(b"\n", offset)
        end = len(content) if end < 0 else end
        line, offset = content[offset:end].strip(), end + 1
        if line:
            yield offset, line


def _checked(content: bytes, endpoint: str) -> tuple[int, str | None, list[dict[str, Any]]]:
    """Give how many requests there are, their model, and what is wrong with them."""
    problems: list[dict[str, Any]] = []
    seen: set[str] = set()
    models: dict[str, int] = {}
    total = inputs = 0
    for total, (_, line) in enumerate(_lines(content), 1):
        request, wrong = _request(line, endpoint)
        name = request.get("custom_id", "")
        if not wrong and name in seen:
            wrong = ("duplicate_custom_id", f"The custom_id '{name}' is in the file already.", "custom_id")
        seen.add(name)
        body: Any = request.get("body") if not wrong else {}
        if not wrong and isinstance(body.get("model"), str):
            models.setdefault(body["model"], total)
            if len(models) > 1:
                wrong = ("mismatched_model", "The requests of a batch have one model.", "body.model")
        given = cast("object", body.get("input"))
        inputs += len(cast("list[object]", given)) if isinstance(given, list) else 1
        if wrong and len(problems) < _MOST_ERRORS:
            code, message, param = wrong
            problems.append(_problem(code, message, param, total))
        if total > MOST_LINES:
            return (
                0,
                None,
                [_problem("too_many_requests", f"The file has more than {MOST_LINES} lines.", None)],
            )
    if total == 0:
        problems.append(_problem("empty_file", "The file has no requests.", "input_file_id"))
    if endpoint.endswith("/embeddings") and inputs > MOST_INPUTS:
        problems.append(_problem("too_many_inputs", f"The file has more than {MOST_INPUTS} inputs.", None))
    return total, next(iter(models), None), problems


def _request(line: bytes, endpoint: str) -> tuple[dict[str, Any], Wrong | None]:
    """Read a line, and say what is wrong with it."""
    try:
        request: Any = loads(line)
    except JsonTextError as error:
        return {}, ("invalid_json_line", f"This line is not JSON: {error}.", None)
    if not isinstance(request, dict):
        return {}, ("invalid_json_line", "This line is no JSON object.", None)
    known = cast("dict[str, Any]", request)
    name, body = known.get("custom_id"), known.get("body")
    rules = (
        (
            isinstance(name, str) and name,
            "missing_required_parameter",
            "This line has no custom_id.",
            "custom_id",
        ),
        (isinstance(body, dict), "missing_required_parameter", "This line has no body.", "body"),
        (known.get("method") == "POST", "invalid_method", "The method of a request is POST.", "method"),
        (
            known.get("url") == endpoint,
            "invalid_url",
            f"The url of a request is the endpoint, {endpoint}.",
            "url",
        ),
    )
    return known, next((wrong for holds, *wrong in rules if not holds), None)


def work(items: Items, kept: Kept) -> bool:
    """Answer the next thousand lines; say whether there are more."""
    job: Work = kept.stored.work
    half = kept.facts["request_counts"]["total"] // 2
    for count, (offset, line) in enumerate(_lines(job.content, job.offset), 1):
        if job.fault == "batch-expired" and job.answered >= half:
            become(items, kept, "expired")
            return True
        _answer(items, kept, job, loads(line))
        job.offset = offset
        if job.size > MOST_RESULTS:
            become(items, kept, "expired")
            return True
        if count == LINES_A_READING:
            break
    items.store.claim(kept.stored, job.size)
    return bool(job.answered < kept.facts["request_counts"]["total"])


def _answer(items: Items, kept: Kept, job: Work, request: dict[str, Any]) -> None:
    status, body = 200, None
    job.answered += 1
    hit = (job.answered - 1) % EVERY == 0
    if hit and job.fault == "batch-lost":
        return
    try:
        _fail(fails=hit and job.fault == "batch-errors")
        _refuse_stream(request["body"])
        body = items.ask("POST", request["url"], request["body"])
    except RefusedError as refusal:
        status, body = refusal.status, refusal.envelope
    name = _name(kept, job)
    response = {"status_code": status, "request_id": f"req_{name}", "body": body}
    line = {"id": f"batch_req_{name}", "custom_id": request["custom_id"], "response": response, "error": None}
    outcome, written_to = ("completed", job.done) if status == 200 else ("failed", job.refused)  # noqa: PLR2004 - OK
    written_to += dumps(line) + b"\n"
    kept.facts["request_counts"][outcome] += 1
    if isinstance(body, dict):
        _count_tokens(kept.facts, cast("dict[str, Any]", body).get("usage"))


def _fail(*, fails: bool) -> None:
    if fails:
        raise RefusedError(500)


def _refuse_stream(body: Mapping[str, Any]) -> None:
    if body.get("stream"):
        message = "A request of a batch cannot stream."
        raise RefusedError(400, message, code="invalid_value", param="stream")


def _name(kept: Kept, job: Work) -> str:
    job.lines += 1
    return sha256(f"{kept.name}{job.lines}".encode()).hexdigest()[:32]


def _count_tokens(facts: dict[str, Any], used: Mapping[str, int] | None) -> None:
    if not used:
        return
    total: dict[str, Any] = facts.setdefault(
        "usage",
        {
            "input_tokens": 0,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 0,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 0,
        },
    )
    total["input_tokens"] += used.get("input_tokens", used.get("prompt_tokens", 0))
    total["output_tokens"] += used.get("output_tokens", used.get("completion_tokens", 0))
    total["total_tokens"] += used.get("total_tokens", 0)


def written(items: Items, kept: Kept) -> None:
    """Write what came out to files, when the batch is over; what was not answered is in the error file."""
    job: Work | None = kept.stored.work
    if job is None:
        return
    code, message = _ENDINGS.get(kept.facts["status"], ("", ""))
    for _, line in _lines(job.content, job.offset):
        error = {"code": code, "message": message}
        left = {
            "id": f"batch_req_{_name(kept, job)}",
            "custom_id": loads(line)["custom_id"],
            "response": None,
            "error": error,
        }
        job.refused += dumps(left) + b"\n"
    kept.stored.work = None
    items.store.claim(kept.stored, 0)
    rule = cast("Mapping[str, int]", kept.facts.get("output_expires_after") or {})
    for field_name, content in (("output_file_id", job.done), ("error_file_id", job.refused)):
        if content:
            filename = f"{kept.name}_{field_name.removesuffix('_file_id')}.jsonl"
            kept.facts[field_name] = items.add_file(
                filename, bytes(content), "batch_output", lifetime=rule.get("seconds")
            )
