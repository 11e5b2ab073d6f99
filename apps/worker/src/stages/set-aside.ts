import { type BudgetStand, type PaidWork, type Queryable, reserveBudget } from "@pipeline/db";
import { AppError } from "@pipeline/runtime";
import { Deferral } from "../deferral.ts";
import type { StageContext } from "../stage-handler.ts";

/**
 * Sets aside what paid work is expected to cost, and says when most of a budget is gone. Throws Deferral where a budget of
 * today has no room.
 */
export async function setAside(
  db: Queryable,
  work: Omit<PaidWork, "budgets">,
  { log, paid }: Pick<StageContext, "log" | "paid">,
): Promise<void> {
  const answer = await reserveBudget(db, { ...work, budgets: paid.budgets });
  for (const { scope, budget_usd, used_usd } of answer.warnings) {
    log.warn({ scope, budget_usd, used_usd }, "most of today's budget is used");
  }
  if (!answer.is_reserved) throw new Deferral(budgetExhausted(answer.exhausted), answer.day_ends_ms);
}

function budgetExhausted(exhausted: readonly BudgetStand[]): AppError {
  const scope = exhausted.some((stand) => stand.scope === "everybody") ? "everybody" : "user";
  const whose = scope === "everybody" ? "Today's budget" : "The user's budget for today";
  return new AppError({
    kind: "transient",
    code: "budget_exhausted",
    message: `${whose} for paid services is used up. The document goes on tomorrow, or once the budget is raised.`,
    details: { scope },
  });
}
