import { type Deployment, needToken, type SectionChecks } from "../deployment.ts";
import { Fault, Skipped } from "../finding.ts";
import type { Answer } from "../http.ts";

/** Enough for a 95th percentile that one hiccup does not make. */
const HEALTH_CALLS = 20;
const READ_CALLS = 20;
const SEARCH_CALLS = 10;

export const performance: SectionChecks = async (deployment, check) => {
  const { root, api, tokens, known, settings } = deployment;
  await check("Health answers fast", () => measure("health", HEALTH_CALLS, deployment, () => root("/health")));
  await check("Reads answer fast", async () => {
    const token = needToken(tokens, "user");
    return measure("read", READ_CALLS, deployment, () => api("/documents?limit=10", { token }));
  });
  await check("Searches answer fast", async () => {
    const run = known.document;
    if (run?.completedMs === undefined) throw new Skipped("the document did not become complete");
    const call = () => api("/search", { token: tokens.user, method: "POST", body: { query: run.question } });
    return measure("search", SEARCH_CALLS, deployment, call);
  });
  await check("A small document is searchable soon", async () => {
    const ms = known.document?.completedMs;
    if (ms === undefined) throw new Skipped("the document did not become complete");
    const detail = `${(ms / 1_000).toFixed(1)} s of the ${settings.documentTimeoutMs / 1_000} s that are allowed`;
    return { detail, figures: { complete_ms: ms } };
  });
};

/** One call after the other, as one user makes them. */
async function measure(name: string, times: number, { settings }: Deployment, call: () => Promise<Answer>) {
  const all: number[] = [];
  for (let count = 0; count < times; count += 1) {
    const answer = await call();
    if (answer.status !== 200) throw new Fault(`answered ${answer.status}`);
    all.push(answer.ms);
  }
  const sorted = all.toSorted((a, b) => a - b);
  const at = (share: number): number => Math.round(sorted[Math.ceil(sorted.length * share) - 1] ?? 0);
  const figures = { [`${name}_p50_ms`]: at(0.5), [`${name}_p95_ms`]: at(0.95) };
  const detail = `${times} calls, median ${at(0.5)} ms, 95th percentile ${at(0.95)} ms`;
  if (at(0.95) > settings.maxLatencyMs) throw new Fault(`${detail}, allowed are ${settings.maxLatencyMs}`);
  return { detail, figures };
}
