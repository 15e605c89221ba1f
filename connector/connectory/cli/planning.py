"""The batches that the records of a preview would become."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectory.delivery.batches import line_of, plan
from connectory.text.json import loads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectory.catalogue.batchable import BatchOption
    from connectory.delivery.batches import Line
    from connectory.delivery.publication import Part
    from connectory.requests.building import Call


class Planned:
    """Collects the lines, and says what would be asked of the API for them; the run's name stands for its id."""

    def __init__(self, option: BatchOption) -> None:
        self._option = option
        self._lines: list[Line] = []

    def add(self, part: Part, call: Call, body: bytes | None) -> dict[str, Any]:
        """Take a request with its body, and give its line as it would stand in an input file. Raises RequestError."""
        line = line_of(self._option, part, call, body)
        self._lines.append(line)
        return {"line": loads(line.text)}

    def shown(self) -> Iterator[dict[str, Any]]:
        """Give each part, with the request that uploads its file and the one that begins its batch."""
        for number, one in enumerate(plan(self._option, self._lines), 1):
            name = f"connectory-RUN-{number}.jsonl"
            file = f"<file {name}, {one.size} bytes>"
            begins = {
                "input_file_id": "FILE",
                "endpoint": self._option.endpoint,
                "completion_window": self._option.window,
                "metadata": {"connectory_run": "RUN", "connectory_part": str(number), "connectory_try": "1"},
            }
            yield {
                "part": number,
                "model": one.model or None,
                "requests": len(one.lines),
                "bytes": one.size,
                "upload": {
                    "method": "POST",
                    "path": self._option.entities["files"].path,
                    "payload": {"purpose": "batch", "file": file},
                },
                "create": {
                    "method": "POST",
                    "path": self._option.entities["batches"].path,
                    "payload": begins,
                },
            }
