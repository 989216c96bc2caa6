"""One pool as a bandit: why sampling by priority finds a good subnet, without any network."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf

import torch
from scipy.stats import kendalltau

from lithe.pssnet.pools import Pool
from lithe.pssnet.priority import effective_size
from lithe.pssnet.schedule import anneal

__all__ = ["VARIANTS", "Game", "Outcome", "play"]


@dataclass(frozen=True)
class Game:
    """One budget's life over a whole run. Source: PSS-Net spec 9.3.

    Arms are subnets. Each has a true quality, an offset of the cross-entropy drawn once; what is
    observed is minus the sum of a learning curve, that offset and noise. The source leaves open
    how the curve falls between its ends; the exponential is ours, and results agree with the
    source's in order, not in their digits.

    Attributes:
        epochs: length of the run.
        visits: how often the pool is visited in an epoch.
        capacity: of the pool.
        smoothing: of the metric's moving average.
        space: probability of a new arm, first and last.
        temperature: of the priority, first and last; infinite: no preference.
        spread: standard deviation of the true offsets, nats.
        noise: standard deviation of the observation, nats.
        first: cross-entropy of an average subnet at the start.
        last: and in the end.
        fall: how many times the curve falls by ``e`` over the run.
    """

    epochs: int = 250
    visits: int = 28
    capacity: int = 50
    smoothing: float = 0.9
    space: tuple[float, float] = (1.0, 0.01)
    temperature: tuple[float, float] = (1.0, 0.01)
    spread: float = 0.03
    noise: float = 0.05
    first: float = 6.9
    last: float = 2.0
    fall: float = 4.0

    def curve(self, epoch: int) -> float:
        """Cross-entropy of an average subnet: falls fast, then flattens."""
        return self.last + (self.first - self.last) * exp(-self.fall * epoch / self.epochs)


#: The variants of spec 9.3.
VARIANTS = {
    "pss": Game(),
    "no priority": Game(temperature=(inf, inf)),
    "temperature 1": Game(temperature=(1.0, 1.0)),
    "temperature 0.01": Game(temperature=(0.01, 0.01)),
    "always space": Game(space=(1.0, 1.0)),
    "no smoothing": Game(smoothing=0.0),
    "smoothing 0.99": Game(smoothing=0.99),
    "capacity 10": Game(capacity=10),
    "noise-free": Game(noise=0.0),
    "stationary": Game(first=2.0),
}


@dataclass(frozen=True)
class Outcome:
    """How a game ended.

    Attributes:
        candidates: arms tried.
        percentile: percent of all arms tried that are truly better than the retained one.
        gain: how far the retained arm's cross-entropy is below an average arm's, nats.
        best: the same of the best arm tried.
        late_gain: mean gain of the arms trained in the last tenth of the run.
        pool_size: arms that the last epoch's priority effectively draws from.
        tau: Kendall's rank correlation of pool values and truth at the end.
        history: for every epoch, new arms, and effective size of the pool at its end.
    """

    candidates: int
    percentile: float
    gain: float
    best: float
    late_gain: float
    pool_size: float
    tau: float
    history: tuple[tuple[int, float], ...]


def play(game: Game, generator: torch.Generator) -> Outcome:
    """Play one game to its end.

    Args:
        game: the rules.
        generator: where the randomness comes from.
    """
    pool: Pool[int] = Pool(game.capacity, game.smoothing)
    offsets: list[float] = []
    late: list[float] = []
    history = []
    for epoch in range(game.epochs):
        before, t = len(offsets), _temperature(game, epoch)
        share = anneal(epoch, game.epochs, *game.space)
        for _ in range(game.visits):
            arm = _arm(pool, offsets, share, t, game.spread, generator)
            seen = game.curve(epoch) + offsets[arm] + game.noise * _normal(generator)
            pool.update(arm, -seen)
            if epoch >= 0.9 * game.epochs:
                late.append(-offsets[arm])
        history.append((len(offsets) - before, effective_size(pool.priorities(t))))
    return _outcome(pool, offsets, late, history)


def _arm(
    pool: Pool[int],
    offsets: list[float],
    share: float,
    t: float,
    spread: float,
    generator: torch.Generator,
) -> int:
    """A new arm, or one of a full pool by priority."""
    u = torch.rand(1, generator=generator).item()
    if u < share or not pool.full:
        offsets.append(spread * _normal(generator))
        return len(offsets) - 1
    return pool.sample(t, generator)


def _outcome(
    pool: Pool[int], offsets: list[float], late: list[float], history: list[tuple[int, float]]
) -> Outcome:
    top = offsets[pool.best()]
    values = [value for _, value in pool.items()]
    truth = [-offsets[arm] for arm in pool]
    return Outcome(
        candidates=len(offsets),
        percentile=100 * sum(offset < top for offset in offsets) / len(offsets),
        gain=-top,
        best=-min(offsets),
        late_gain=sum(late) / len(late),
        pool_size=history[-1][1],
        tau=float(kendalltau(values, truth).statistic),
        history=tuple(history),
    )


def _temperature(game: Game, epoch: int) -> float:
    start, end = game.temperature
    return inf if inf in (start, end) else anneal(epoch, game.epochs, start, end)


def _normal(generator: torch.Generator) -> float:
    return torch.randn(1, generator=generator).item()
