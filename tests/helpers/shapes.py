"""Shapes of tradeoff curves whose continuation is known, drawn at random, in points of accuracy by doubling."""

import numpy as np


def shapes(rng: np.random.Generator, number: int, doublings: np.ndarray) -> dict[str, np.ndarray]:
    """Returns so many curves of each shape. Each of shape ``(number, len(doublings))``."""

    def drawn(low, high):
        return rng.uniform(low, high, (number, 1))

    x = np.asarray(doublings, dtype=float)
    return {
        'power law with an offset': 78 - drawn(4, 12) * 2 ** (-drawn(0.5, 2) * x),
        'parabola in log time': 77 - drawn(0.2, 1) * (x - drawn(1.5, 7)) ** 2,
        'exponential in time': 78 - drawn(5, 20) * np.exp(-(2**x) / drawn(1, 8)),
        'logistic in log time': 60 + 18 / (1 + np.exp(-(x - drawn(-3, 2)) / drawn(0.5, 1.5))),
        'straight in log time': 70 + drawn(0.1, 2) * x,
    }
