/** A B C A B C: what disturbs the machine for a while disturbs every case alike. Runs count from 1. */
export async function runInterleaved<Case, Result>(
  cases: readonly Case[],
  runs: number,
  measure: (each: Case, run: number) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  for (let run = 1; run <= runs; run += 1) {
    for (const each of cases) results.push(await measure(each, run));
  }
  return results;
}
