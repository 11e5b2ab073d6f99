import { expect, test } from "vitest";
import { formatSpending } from "./spending.ts";

const NOW = new Date("2026-01-31T12:00:00Z");
const before = (seconds: number) => new Date(NOW.getTime() - seconds * 1_000);
const NOTHING = { spent_usd: 0, reserved_usd: 0, warned_budget_usd: null };

test("where nothing was paid that is said", () => {
  const text = formatSpending({ spending: [], today: NOTHING, budget: null, circuits: [], limits: [] }, NOW);
  expect(text).toBe("Nothing was paid.\nToday 0.000 USD are spent and 0.000 reserved; there is no budget.\n");
});

test("days, the budget, and how the providers stand are told", () => {
  const row = {
    day: "2026-01-31",
    provider: "openai",
    model: "text-embedding-3-small",
    user_count: 2,
    request_count: 12,
    token_count: 34_567,
    page_count: 0,
    cost_usd: 0.00069134,
    lost_request_count: 1,
    lost_usd: 0.02,
  };
  const budget = { scope: "everybody" as const, budget_usd: 2, used_usd: 1.75 };
  const circuit = { provider: "openai", failure_count: 5, opened_at: before(90), open_until: before(-30) };
  const limit = {
    provider: "openai",
    model: "text-embedding-3-small",
    in_flight_count: 3,
    paused_until: before(-20),
    told_requests_per_minute: 500,
    told_tokens_per_minute: null,
  };
  const text = formatSpending(
    {
      spending: [row],
      today: { spent_usd: 1.5, reserved_usd: 0.25, warned_budget_usd: 2 },
      budget,
      circuits: [
        { ...circuit, code: "provider_circuit_open", message: "It failed." },
        { provider: "llamaparse", failure_count: 1, opened_at: null, open_until: null, code: null, message: null },
      ],
      limits: [limit],
    },
    NOW,
  );
  expect(text.split("\n")).toEqual([
    "DAY         PROVIDER  MODEL                   USERS  REQUESTS  TOKENS  PAGES  USD      LOST  LOST USD",
    "2026-01-31  openai    text-embedding-3-small  2      12        34567   0      0.00069  1     0.020",
    "Today 1.500 USD are spent and 0.250 reserved, 87 % of the budget of 2.000. Most of it is gone; workers have said so.",
    "openai is out of order (provider_circuit_open) since 1m ago; next trial in 30s.",
    "llamaparse works; faults in a row: 1.",
    "openai text-embedding-3-small: 3 requests under way, allows 500 requests and ? tokens a minute, pauses, goes on in 20s.",
    "",
  ]);
});
