"""Hardness off the event loop: one thread of its own, one prompt at a time.

spaCy pipelines are not meant for several threads, and a long prompt must not hold up others'
answers. What waits here is bounded by the router's admission.
"""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from hadis.hardness import scoring

SMOOTHING = 0.1


class HardnessThread:
    """Scores prompts with the weights in force."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="hardness")
        self._scorer = scoring.Scorer(weights)
        self._loading: asyncio.Future[None] | None = None
        self._waiting = 0
        self._mean_s = 0.0
        self._fault: str | None = None
        self._loaded = False

    @property
    def trouble(self) -> str | None:
        """Why no prompt can be scored now, None when one can."""
        if self._loaded:
            return None
        return self._fault or "the hardness features are loading"

    @property
    def backlog_s(self) -> float:
        """How long a prompt that arrives now waits for those before it."""
        return self._waiting * self._mean_s

    def replace_weights(self, weights: Mapping[str, float]) -> None:
        """Score later prompts with other weights; raises InvalidInput for unknown features."""
        self._scorer = scoring.Scorer(weights)

    async def load(self) -> None:
        """Load what scoring needs; later calls wait for the first. A failure is told, and stays."""
        if self._loading is None:
            self._loading = asyncio.get_running_loop().run_in_executor(self._executor, _warm)
        try:
            await asyncio.shield(self._loading)
        except Exception as error:
            self._fault = f"hardness cannot be scored: {str(error) or type(error).__name__}"
            raise
        self._loaded = True

    async def score(self, prompt: str) -> scoring.Hardness:
        """Score a prompt in its turn."""
        self._waiting += 1
        try:
            hardness = await asyncio.get_running_loop().run_in_executor(
                self._executor, self._scorer.score, prompt
            )
        finally:
            self._waiting -= 1
        self._mean_s += SMOOTHING * (hardness.ms / 1e3 - self._mean_s)
        return hardness

    def close(self) -> None:
        """Let the prompt being scored finish and drop the others."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def _warm() -> None:
    scoring.load()
    scoring.Scorer().score("Two small red circles to the left of a blue square.")
