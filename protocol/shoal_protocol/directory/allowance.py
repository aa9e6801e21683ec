"""A token bucket: so much at once, so much a second. spec: directory §8"""

from shoal_protocol.clock import SECOND


class Allowance:
    """What one peer may still cost.

    Args:
        rate: tokens that come back a second.
        burst: tokens at most.
        now: ns; it starts full.
    """

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: int) -> None:
        self._rate, self._burst, self._tokens, self._at = rate, burst, burst, now

    def left(self, now: int) -> float:
        """Return the tokens there are at ``now`` (ns)."""
        if now > self._at:
            grown = self._tokens + (now - self._at) * self._rate / SECOND
            self._tokens, self._at = min(self._burst, grown), now
        return self._tokens

    def spend(self, cost: float, now: int) -> None:
        """Take ``cost`` tokens, into debt if need be; a negative cost gives tokens back."""
        self._tokens = min(self._burst, self.left(now) - cost)
