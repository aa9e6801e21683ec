// What each pace costs and how long a message takes: docs/spec/parameters.md, section 2. The
// node's own figures, which know how long its links take, stand in the place of the present one's.

import type { Preset, Traffic } from './api/types';

export interface Cost {
  preset: Preset;
  kbPerSecond: number; // each way, 10^3 bytes
  gbPerDay: number; // both ways, 10^9 bytes
  latencyMs: number; // one way, median
}

const PACKET = 3072; // bytes
const DAY = 86_400; // s

function cost(preset: Preset, packetsPerSecond: number, latencyMs: number): Cost {
  return {
    preset,
    kbPerSecond: (packetsPerSecond * PACKET) / 1e3,
    gbPerDay: (2 * packetsPerSecond * PACKET * DAY) / 1e9,
    latencyMs,
  };
}

export const COSTS: readonly Cost[] = [
  cost('saver', 0.25, 7600),
  cost('balanced', 4, 910),
  cost('fast', 10, 630),
];

export function costs(traffic: Traffic | null): Cost[] {
  return COSTS.map((one) =>
    traffic?.preset === one.preset
      ? {
          preset: one.preset,
          kbPerSecond: traffic.up_kb_per_s,
          gbPerDay: traffic.gb_per_day,
          latencyMs: traffic.latency_ms.p50,
        }
      : one,
  );
}
