"""Count the records of a run."""

from connectory import Context, Record


class Numbered:
    """Number the records under the name `into`, beginning with `start`, and tell at the end how many there were."""

    def __init__(self, *, into: str = "number", start: int = 1) -> None:
        self.into, self.number = into, start - 1

    async def __call__(self, record: Record, *, context: Context) -> Record:
        self.number += 1
        if self.number % 1000 == 0:
            context.logger.warning("%s records for %s", self.number, context.client)
        return {**record, self.into: self.number}

    def close(self) -> None:
        """Begin anew in the next run."""
        self.number = 0
