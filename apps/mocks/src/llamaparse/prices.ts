/** Credits per page; 1,000 credits are $1.25. */
const CREDITS_BY_TIER: ReadonlyMap<string, number> = new Map([
  ["fast", 1],
  ["cost_effective", 3],
  ["agentic", 10],
  ["agentic_plus", 45],
]);

export const TIERS: readonly string[] = [...CREDITS_BY_TIER.keys()];

/** What v1 bills without a tier: as for `cost_effective`, or as for `fast` where no model is asked. */
export function creditsPerPage(order: { tier: string | undefined; parseMode?: string | undefined }): number {
  const tier = order.tier ?? (order.parseMode === "parse_page_without_llm" ? "fast" : "cost_effective");
  return CREDITS_BY_TIER.get(tier) ?? 0;
}
