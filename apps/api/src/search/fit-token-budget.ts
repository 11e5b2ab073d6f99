/** The results that fit the budget together: best first, one that does not fit is left out for smaller ones behind it. */
export function fitTokenBudget<T extends { token_count: number }>(
  results: readonly T[],
  budget: number,
): { kept: T[]; used_tokens: number } {
  const kept: T[] = [];
  let used = 0;
  for (const result of results) {
    if (used + result.token_count > budget) continue;
    used += result.token_count;
    kept.push(result);
  }
  return { kept, used_tokens: used };
}
