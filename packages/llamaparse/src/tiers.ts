/** From rules without a model to the dearest one. */
export const TIERS = ["fast", "cost_effective", "agentic", "agentic_plus"] as const;
export type Tier = (typeof TIERS)[number];

/** The published price of credits. */
export const USD_PER_CREDIT = 1.25 / 1_000;

/**
 * The published price of a page. A job's own figure is 0 or missing until billing settles, so what is
 * spent meanwhile is counted in pages.
 */
export const CREDITS_PER_PAGE: Readonly<Record<Tier, number>> = {
  fast: 1,
  cost_effective: 3,
  agentic: 10,
  agentic_plus: 45,
};
