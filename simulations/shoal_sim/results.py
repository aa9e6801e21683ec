"""What one run of one scenario with one seed gives.

::

    tier(scenario, seed) ─► Results ─┬─ metrics: name ─► number      one row of the sweep's table
                                     └─ tables:  name ─► polars frame    a Parquet file each
"""

from dataclasses import dataclass, field

import polars


@dataclass(frozen=True, slots=True)
class Results:
    """Measurements of one run.

    ``metrics`` are numbers in the unit that ends their name (``latency_p50_ms``,
    ``sender_entropy_bits``, ``delivered_share``); NaN says that there was nothing to measure.
    ``tables`` are kept only if the run asks for them: a million messages are a million rows.
    """

    metrics: dict[str, float]
    tables: dict[str, polars.DataFrame] = field(default_factory=dict[str, polars.DataFrame])
