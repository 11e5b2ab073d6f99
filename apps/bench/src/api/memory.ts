import { formatTable } from "../report/table.ts";
import { mixedLoad } from "./mixed.ts";
import type { ApiBench, ApiBenchPlan } from "./run-api-bench.ts";
import { runLoad } from "./run-load.ts";

/** After a full collection. */
export interface MemorySample {
  minute: number;
  rss_mib: number;
  heap_mib: number;
}

const MIB = 2 ** 20;
const SLICES_PER_MINUTE = 2;

/** The API's memory under the mixed load, streams opened anew every half minute. */
export async function measureMemory(bench: ApiBench, { minutes, print }: ApiBenchPlan): Promise<MemorySample[]> {
  const samples: MemorySample[] = [];
  if (minutes === 0) return samples;
  const sample = async (slice: number): Promise<void> => {
    const { rss, heap } = await bench.api.readMemory();
    const taken = { minute: slice / SLICES_PER_MINUTE, rss_mib: rss / MIB, heap_mib: heap / MIB };
    print(`memory, minute ${taken.minute}: RSS ${taken.rss_mib.toFixed(1)} MiB, heap ${taken.heap_mib.toFixed(1)} MiB`);
    samples.push(taken);
  };
  for (let slice = 1; slice <= minutes * SLICES_PER_MINUTE; slice += 1) {
    await runLoad({ ...mixedLoad(bench), seconds: 60 / SLICES_PER_MINUTE });
    await sample(slice);
  }
  return samples;
}

/** The first half warms up: caches fill and the code is compiled. */
export function formatMemory(samples: readonly MemorySample[]): string {
  const later = samples.slice(Math.floor(samples.length / 2));
  const row = (name: string, read: (sample: MemorySample) => number) => [
    name,
    ...[samples.at(0), samples.at(-1)].map((sample) => (sample === undefined ? "–" : read(sample).toFixed(1))),
    slopeOf(later.map((sample) => [sample.minute, read(sample)])).toFixed(3),
  ];
  return formatTable("Memory after collection, MiB", [
    ["", "first", "last", "a minute, second half"],
    row("RSS", (sample) => sample.rss_mib),
    row("heap", (sample) => sample.heap_mib),
  ]);
}

/** Of the straight line nearest to the points (least squares). */
function slopeOf(points: readonly (readonly [x: number, y: number])[]): number {
  const [meanX, meanY] = [mean(points.map(([x]) => x)), mean(points.map(([, y]) => y))];
  const spread = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  return spread === 0 ? 0 : points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0) / spread;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
