"""What many tests need: seeded draws and a fixed beginning of time, those of simulations."""

from shoal_sim.seeds import START, seeded

__all__ = ["START", "seeded"]
