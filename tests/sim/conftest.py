"""What the checks of simulations share; run them by name: ``pytest tests/sim/check_*.py``."""

from processes.conftest import say

__all__ = ["say"]
