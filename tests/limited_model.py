"""A server's limits as a model: a bucket of requests, one of tokens, and the headers and refusals that come of them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Level:
    """So much a minute, of which one second's worth may come at once, and at least one."""

    per_minute: float
    level: float = field(init=False)
    seen: float = 0.0

    def __post_init__(self) -> None:
        self.level = self.burst

    @property
    def rate(self) -> float:
        return self.per_minute / 60

    @property
    def burst(self) -> float:
        return max(1.0, self.rate)

    def flow(self, now: float) -> None:
        self.level = min(self.burst, self.level + (now - self.seen) * self.rate)
        self.seen = now

    def least(self, work: float) -> float:
        """Seconds in which so much cannot be beaten."""
        return (work - self.burst) / self.rate


@dataclass
class Model:
    """Takes a request when both buckets have what it costs; otherwise nothing is taken."""

    requests: Level
    tokens: Level
    tells: bool = True
    taken: int = 0
    refused: int = 0

    @classmethod
    def of(cls, requests: float, tokens: float, *, tells: bool = True) -> Model:
        return cls(Level(requests), Level(tokens), tells)

    def ask(self, now: float, cost: float) -> tuple[int, dict[str, str]]:
        self.requests.flow(now)
        self.tokens.flow(now)
        fits = self.requests.level >= 1 and self.tokens.level >= cost
        if fits:
            self.requests.level -= 1
            self.tokens.level -= cost
            self.taken += 1
            return 200, self.headers()
        self.refused += 1
        wait = max(
            (1 - self.requests.level) / self.requests.rate, (cost - self.tokens.level) / self.tokens.rate
        )
        return 429, {**self.headers(), "retry-after-ms": str(int(wait * 1000) + 1)}

    def headers(self) -> dict[str, str]:
        if not self.tells:
            return {}
        told: dict[str, str] = {}
        for kind, one in (("requests", self.requests), ("tokens", self.tokens)):
            told[f"x-ratelimit-limit-{kind}"] = str(int(one.per_minute))
            told[f"x-ratelimit-remaining-{kind}"] = str(int(one.level))
            told[f"x-ratelimit-reset-{kind}"] = f"{int((one.burst - one.level) / one.rate * 1000)}ms"
        return told

    def least(self, requests: int, tokens: float) -> float:
        """Seconds in which so much work cannot be beaten."""
        return max(self.requests.least(requests), self.tokens.least(tokens))
