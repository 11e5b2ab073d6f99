import {
  type BudgetStand,
  getSpendingToday,
  listCircuits,
  listProviderLimits,
  listSpending,
  readClock,
  type SpendingDay,
} from "@pipeline/db";
import type { Environment } from "@pipeline/runtime";
import type { Command } from "commander";
import { z } from "zod";
import { formatSpending } from "../format/spending.ts";
import { addCommand, flags, parseLimit, parseUser } from "../options.ts";
import { type Answer, type Desk, runCommand } from "../run-command.ts";

/** What is paid for, and how the providers that are paid stand. */
export function addSpendCommands(program: Command): void {
  addCommand(program, "spending", "Shows what was paid, today's budgets, and how the paid services stand.")
    .option("--days <count>", "of so many days, today the last", parseLimit, 7)
    .option("--user <id>", "only for this user's documents", parseUser)
    .action((raw: unknown) => {
      const { json, days, user } = flags.extend({ days: z.number(), user: z.string().optional() }).parse(raw);
      return runCommand({ json }, (desk) => showSpending(desk, { days, user_id: user }));
    });
}

async function showSpending(
  { environment, database }: Desk,
  { days, user_id }: { days: number; user_id: string | undefined },
): Promise<Answer> {
  const spending = await listSpending(database, { days, user_id });
  const today = await getSpendingToday(database, user_id);
  const budget = budgetOf(environment, { today, user_id });
  const circuits = await listCircuits(database);
  const limits = await listProviderLimits(database);
  const text = formatSpending({ spending, today, budget, circuits, limits }, await readClock(database));
  return { json: { spending, today, budget, circuits, limits }, text };
}

/** As this command's own environment has it, which is the workers' if they are configured alike. */
function budgetOf(
  { BUDGET_USD_PER_DAY, BUDGET_USD_PER_USER_PER_DAY }: Environment,
  { today, user_id }: { today: SpendingDay; user_id: string | undefined },
): BudgetStand | null {
  const budget_usd = user_id === undefined ? BUDGET_USD_PER_DAY : BUDGET_USD_PER_USER_PER_DAY;
  if (budget_usd === undefined) return null;
  const used_usd = today.spent_usd + today.reserved_usd;
  return { scope: user_id === undefined ? "everybody" : "user", budget_usd, used_usd };
}
