"""Fine-tuning jobs: events that grow with the states, checkpoints, and a model at the end."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, cast

from connectory.sandbox.living import become
from connectory.sandbox.store import Stored
from connectory.text.json import JsonTextError, loads

if TYPE_CHECKING:
    from connectory.sandbox.items import Items
    from connectory.sandbox.living import Kept

STEPS = 3
_EPOCHS = 3


def begun(items: Items, kept: Kept) -> None:
    """Complete a new job: nothing is trained yet, and its lists begin empty."""
    method = cast("dict[str, Any]", kept.facts.get("method") or {})
    details = cast("dict[str, Any]", method.get(str(method.get("type")))) or {}
    given: Any = kept.facts.get("hyperparameters") or details.get("hyperparameters") or {}
    auto = {"n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto"}
    kept.facts.update(
        {
            "organization_id": "org-sandbox",
            "result_files": [],
            "hyperparameters": auto | given,
            "validation_file": kept.facts.get("validation_file"),
            "seed": kept.facts.get("seed") or 0,
        }
    )
    items.store.open(f"{kept.item_path}/checkpoints")
    _event(items, kept, f"created job {kept.name}")
    _event(items, kept, f"validating file {kept.facts['training_file']}")


def _event(items: Items, kept: Kept, message: str, *, level: str = "info", **data: float) -> None:
    name, now = items.store.new_id("ftevent-"), int(items.clock())
    facts: dict[str, Any] = {"id": name, "created_at": now, "level": level, "message": message}
    facts |= {"type": "metrics" if data else "message", "data": data}
    items.store.add(f"{kept.item_path}/events", name, Stored(0, facts))


def validate(items: Items, kept: Kept) -> bool:
    """Read the training file; a job fails whose file is not one JSON object a line."""
    stored = items.store.get("/files", kept.facts["training_file"])
    content = stored.content or b"" if stored is not None else b""
    lines = [line for line in content.splitlines() if line.strip()]
    if not lines or not all(map(_is_object, lines)):
        message = "the training file is not one JSON object a line"
        kept.facts["error"] = {"code": "invalid_training_file", "message": message, "param": "training_file"}
        become(items, kept, "failed")
    kept.stored.work = len(content) // 4 * _EPOCHS
    return False


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(loads(line), dict)
    except JsonTextError:
        return False


def queued(items: Items, kept: Kept) -> None:
    """Say that the files are good."""
    _event(items, kept, "files validated, job queued")


def running(items: Items, kept: Kept) -> None:
    """Train: the numbers depend on nothing but the step."""
    _event(items, kept, "job started")
    for step in range(1, STEPS + 1):
        loss = round(2.0 / step, 4)
        _event(items, kept, f"step {step} of {STEPS}: loss {loss}", step=step, train_loss=loss)


def succeeded(items: Items, kept: Kept) -> None:
    """Publish the model, with a checkpoint for each step."""
    suffix = kept.facts.get("suffix") or ""
    stem = f"ft:{kept.facts['model']}:sandbox:{suffix}:{sha256(kept.name.encode()).hexdigest()[:8]}"
    for step in range(1, STEPS + 1):
        name = items.store.new_id("ftckpt_")
        model = stem if step == STEPS else f"{stem}:ckpt-step-{step}"
        facts: dict[str, Any] = {"id": name, "created_at": int(items.clock()), "step_number": step}
        facts |= {"fine_tuned_model_checkpoint": model, "fine_tuning_job_id": kept.name}
        facts["metrics"] = {"step": step, "train_loss": round(2.0 / step, 4)}
        items.store.add(f"{kept.item_path}/checkpoints", name, Stored(0, facts))
    items.add_model(stem)
    result = items.add_file(f"{kept.name}_metrics.csv", _metrics(), "fine-tune-results")
    kept.facts.update(
        {"fine_tuned_model": stem, "trained_tokens": kept.stored.work, "result_files": [result]}
    )
    _event(items, kept, f"new model {stem}")
    ended(items, kept)


def _metrics() -> bytes:
    rows = [f"{step},{round(2.0 / step, 4)}" for step in range(1, STEPS + 1)]
    return "\n".join(["step,train_loss", *rows, ""]).encode()


def ended(items: Items, kept: Kept) -> None:
    """Say how the job ended."""
    kept.facts["finished_at"] = int(items.clock())
    level = "error" if kept.facts["status"] == "failed" else "info"
    _event(items, kept, f"job {kept.facts['status']}", level=level)
