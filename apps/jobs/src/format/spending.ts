import type { BudgetStand, ProviderCircuit, ProviderLimit, SpendingDay, SpendingRow } from "@pipeline/db";
import { formatAge } from "./age.ts";
import { formatTable } from "./table.ts";

export function formatSpending(
  input: {
    spending: readonly SpendingRow[];
    today: SpendingDay;
    budget: BudgetStand | null;
    circuits: readonly ProviderCircuit[];
    limits: readonly ProviderLimit[];
  },
  now: Date,
): string {
  const { spending, today, budget, circuits, limits } = input;
  return [
    spending.length === 0 ? "Nothing was paid.\n" : formatDays(spending),
    formatToday(today, budget),
    ...circuits.map((circuit) => formatCircuit(circuit, now)),
    ...limits.map((limit) => formatLimit(limit, now)),
  ].join("");
}

function formatDays(spending: readonly SpendingRow[]): string {
  return formatTable(
    ["DAY", "PROVIDER", "MODEL", "USERS", "REQUESTS", "TOKENS", "PAGES", "USD", "LOST", "LOST USD"],
    spending.map((row) => [
      row.day,
      row.provider,
      row.model,
      String(row.user_count),
      String(row.request_count),
      String(row.token_count),
      String(row.page_count),
      formatUsd(row.cost_usd),
      String(row.lost_request_count),
      formatUsd(row.lost_usd),
    ]),
  );
}

function formatToday({ spent_usd, reserved_usd, warned_budget_usd }: SpendingDay, budget: BudgetStand | null): string {
  const used = `Today ${formatUsd(spent_usd)} USD are spent and ${formatUsd(reserved_usd)} reserved`;
  if (budget === null) return `${used}; there is no budget.\n`;
  const share = budget.budget_usd === 0 ? 100 : Math.floor((budget.used_usd / budget.budget_usd) * 100);
  const warned = warned_budget_usd === null ? "" : " Most of it is gone; workers have said so.";
  return `${used}, ${share} % of the budget of ${formatUsd(budget.budget_usd)}.${warned}\n`;
}

function formatCircuit({ provider, failure_count, opened_at, open_until, code }: ProviderCircuit, now: Date): string {
  if (opened_at === null) return `${provider} works; faults in a row: ${failure_count}.\n`;
  const next = open_until !== null && open_until > now ? formatAge(open_until, now) : "now";
  return `${provider} is out of order (${code}) since ${formatAge(opened_at, now)}; next trial ${next}.\n`;
}

function formatLimit(limit: ProviderLimit, now: Date): string {
  const { provider, model, in_flight_count, paused_until } = limit;
  const { told_requests_per_minute: requests, told_tokens_per_minute: tokens } = limit;
  const told =
    requests === null && tokens === null
      ? ""
      : `, allows ${requests ?? "?"} requests and ${tokens ?? "?"} tokens a minute`;
  const paused = paused_until === null ? "" : `, pauses, goes on ${formatAge(paused_until, now)}`;
  return `${provider} ${model}: ${in_flight_count} requests under way${told}${paused}.\n`;
}

/** To the tenth of a cent, and small amounts to their first digits. */
function formatUsd(usd: number): string {
  return usd === 0 || usd >= 0.01 ? usd.toFixed(3) : usd.toPrecision(2);
}
