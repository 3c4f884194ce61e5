"""What an engine may spend: tokens and money, reserved before a request is sent, booked when it is answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curator import near
from curator.errors import BudgetSpent, CheckError

DEFAULT_PRICES = Path(__file__).with_name("prices.yaml")


@dataclass(frozen=True)
class Limits:
    """What the user allows. `error_share`: part of the samples asked that may fail before the step stops."""

    max_tokens_total: int | None = None
    max_cost: float | None = None
    error_share: float = 0.1


@dataclass(frozen=True)
class Price:
    """Dollars per million tokens. `version`: of the price file it comes from."""

    input: float
    output: float
    version: str = ""

    def of(self, tokens_in: int, tokens_out: int) -> float:
        """Return the cost of so many tokens, in dollars."""
        return (tokens_in * self.input + tokens_out * self.output) / 1e6


@dataclass
class Statistics:
    """What went through an engine since it was opened. Samples, tokens, dollars.

    `requests`: samples asked of the model; `cached`: samples answered by the store; `tokens_in`, `tokens_out`: paid
    tokens; `cost`: None where the price is unknown; `in_flight`: samples under way.
    """

    requests: int = 0
    cached: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float | None = 0.0
    errors: int = 0
    in_flight: int = 0

    def as_row(self) -> dict[str, float | int | None]:
        """Return the numbers of a receipt."""
        return {
            "requests": self.requests, "cached": self.cached, "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out, "cost": self.cost, "errors": self.errors,
        }  # fmt: skip


def load_prices(path: str | Path | None) -> tuple[str, dict[str, Price]]:
    """Return the version of a price file and its prices by model name.

    Raises:
        CheckError: the file is missing or not of the form `{version, models: {name: {input, output}}}`.
    """
    import yaml

    file = Path(path) if path else DEFAULT_PRICES
    try:
        page: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
        version = str(page["version"])
        models = {
            str(name): Price(float(p["input"]), float(p["output"]), version)
            for name, p in (page.get("models") or {}).items()
        }
    except OSError as e:
        msg = f"price file {file} cannot be read ({e.strerror})"
        raise CheckError(msg) from e
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as e:
        msg = f"price file {file} is not of the form 'version: ..., models: {{name: {{input: $, output: $}}}}' ({e!r})"
        raise CheckError(msg) from e
    return version, models


def price_of(model: str, prices: Mapping[str, Price]) -> Price | None:
    """Return the price of `model`: by its full name, else by the part after the last `/`, else None."""
    return prices.get(model) or prices.get(model.rpartition("/")[2])


class Budget:
    """Limits of one engine. A request reserves the most it can cost; what it did not use is given back.

    When the rest of the budget is reserved by requests under way, the next one waits for them; only what cannot fit
    any more raises. So the limit is never passed, and is used up as far as whole requests go.
    """

    def __init__(self, alias: str, max_tokens: int | None, max_cost: float | None, price: Price | None) -> None:
        """Set up the limits.

        Raises:
            CheckError: `max_cost` is set and the price is unknown.
        """
        import asyncio  # 0.03 s that `check` need not pay

        if max_cost is not None and price is None:
            msg = (
                f"engine '{alias}': max_cost is set but no price is known for its model; "
                "add it to a price file and name that with `prices: FILE`, or use max_tokens_total"
            )
            raise CheckError(msg)
        self.alias, self.max_tokens, self.max_cost, self.price = alias, max_tokens, max_cost, price
        self.active = max_tokens is not None or max_cost is not None
        self.tokens, self.cost = 0, 0.0
        self._held_tokens, self._held_cost, self._holders = 0, 0.0, 0
        self._freed = asyncio.Event()

    async def reserve(self, tokens_in: int, tokens_out: int) -> tuple[int, float]:
        """Hold back the most a request can cost. Returns what `settle` must be given.

        Raises:
            BudgetSpent: it cannot fit into what is left.
        """
        held = (tokens_in + tokens_out, self.price.of(tokens_in, tokens_out) if self.price else 0.0)
        while not self._fits(held[0] + self._held_tokens, held[1] + self._held_cost):
            if self._holders == 0:
                raise BudgetSpent(self._message(*held))
            self._freed.clear()
            await self._freed.wait()
        self._held_tokens += held[0]
        self._held_cost += held[1]
        self._holders += 1
        return held

    def settle(self, held: tuple[int, float], tokens_in: int, tokens_out: int) -> None:
        """Give a reservation back and book what was used."""
        self._held_tokens -= held[0]
        self._held_cost -= held[1]
        self._holders -= 1
        self.tokens += tokens_in + tokens_out
        if self.price:
            self.cost += self.price.of(tokens_in, tokens_out)
        self._freed.set()

    def _fits(self, tokens: int, cost: float) -> bool:
        return (self.max_tokens is None or self.tokens + tokens <= self.max_tokens) and (
            self.max_cost is None or self.cost + cost <= self.max_cost + 1e-12
        )

    def _message(self, tokens: int, cost: float) -> str:
        if not (self.max_tokens is None or self.tokens + tokens <= self.max_tokens):
            spent = f"{self.tokens:,} of max_tokens_total {self.max_tokens:,} tokens are used"
            need = f"the next request may take {tokens:,}"
        else:
            spent = f"${self.cost:.4f} of max_cost ${self.max_cost} is used"
            need = f"the next request may cost ${cost:.4f}"
        return f"engine '{self.alias}': {spent} and {need}; answers are kept, raise the budget and run again"


def unknown_price_note(model: str, prices: Mapping[str, Price], version: str) -> str:
    """Return the sentence that says why there is no cost."""
    close = near.hint(model, prices, limit=4)
    return f"no price for model '{model}' in the price file of {version}{close}; its cost is null"
