export interface Spread {
  median: number;
  min: number;
  max: number;
}

/** Throws on an empty list: no figure may come of no measurement. */
export function spreadOf(values: readonly number[]): Spread {
  return { median: percentile(values, 50), min: percentile(values, 0), max: percentile(values, 100) };
}

/** Linear between the two nearest ranks. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const rank = ((sorted.length - 1) * percent) / 100;
  const below = sorted[Math.floor(rank)];
  const above = sorted[Math.ceil(rank)];
  if (below === undefined || above === undefined) throw new Error("There is no percentile of nothing.");
  return below + (above - below) * (rank - Math.floor(rank));
}
