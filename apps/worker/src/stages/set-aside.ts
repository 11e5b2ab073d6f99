import { type Budgets, type BudgetStand, type PaidWork, type Queryable, reserveBudget } from "@pipeline/db";
import { AppError } from "@pipeline/runtime";
import { Deferral } from "../deferral.ts";
import type { StageContext } from "../stage-handler.ts";

/**
 * Sets aside what paid work is expected to cost, and says when most of a budget is gone. Throws Deferral where a budget of
 * today has no room, and permanent `budget_too_small` where no day's ever will have.
 */
export async function setAside(
  db: Queryable,
  work: Omit<PaidWork, "budgets">,
  { log, paid }: Pick<StageContext, "log" | "paid">,
): Promise<void> {
  const { cost_usd } = work;
  const tooSmall = findTooSmall(paid.budgets, cost_usd);
  if (tooSmall !== undefined) {
    log.warn({ ...tooSmall, cost_usd }, "work costs more than a whole budget");
    throw budgetTooSmall(tooSmall.scope);
  }
  const answer = await reserveBudget(db, { ...work, budgets: paid.budgets });
  for (const { scope, budget_usd, used_usd } of answer.warnings) {
    log.warn({ scope, budget_usd, used_usd }, "most of today's budget is used");
  }
  if (!answer.is_reserved) throw new Deferral(budgetExhausted(answer.exhausted), answer.day_ends_ms);
}

type WholeBudget = Pick<BudgetStand, "scope" | "budget_usd">;

/** A budget of 0 is no size but a switch: paid work waits until somebody turns it on again. */
function findTooSmall({ usdPerDay, usdPerUserPerDay }: Budgets, costUsd: number): WholeBudget | undefined {
  const budgets: WholeBudget[] = [
    { scope: "everybody", budget_usd: usdPerDay ?? 0 },
    { scope: "user", budget_usd: usdPerUserPerDay ?? 0 },
  ];
  return budgets.find(({ budget_usd }) => budget_usd > 0 && costUsd > budget_usd);
}

function budgetTooSmall(scope: BudgetStand["scope"]): AppError {
  const whose = scope === "everybody" ? "a day's whole budget" : "the whole budget that a user has for a day";
  return new AppError({
    kind: "permanent",
    code: "budget_too_small",
    message: `The document is expected to cost more than ${whose} for paid services. Once that is raised it can be tried again.`,
    details: { scope },
  });
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
