/** How many random requests each operation gets, and of which seed; CONTRACT_RUNS=5000 is the long form. */
export function readContractRuns(): { numRuns: number; seed: number } {
  const { CONTRACT_RUNS = "60", CONTRACT_SEED = "20260302" } = process.env;
  return { numRuns: Number(CONTRACT_RUNS), seed: Number(CONTRACT_SEED) };
}
