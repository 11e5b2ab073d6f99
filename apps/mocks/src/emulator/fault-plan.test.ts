import { expect, test } from "vitest";
import { createFaultPlan, type FaultOptions, type Verdict } from "./fault-plan.ts";

const ROUTE = "POST /v1/embeddings";

/** The verdicts on requests that come in this order, by content. */
function judge(options: FaultOptions, contents: readonly string[]): Map<string, Omit<Verdict, "dice">[]> {
  const plan = createFaultPlan(options);
  const verdicts = contents.map((content) => {
    const { latencyMs, fault } = plan.next({ route: ROUTE, content, isBilled: true });
    return { content, verdict: { latencyMs, fault } };
  });
  return new Map(
    [...Map.groupBy(verdicts, ({ content }) => content)].map(([content, ofContent]) => [
      content,
      ofContent.map(({ verdict }) => verdict),
    ]),
  );
}

const CONTENTS = Array.from({ length: 1_000 }, (_, index) => `passage ${index}`);

test("a request's fate depends on the seed, on its content and on how often it came, and not on others", () => {
  const options: FaultOptions = { seed: 3, latencyMs: [5, 50], rates: { server_error: 0.2, timeout: 0.1 } };
  const twice = [...CONTENTS, ...CONTENTS];
  const verdicts = judge(options, twice);
  expect(judge(options, twice.toReversed())).toEqual(verdicts);
  expect(judge({ ...options, seed: 4 }, twice)).not.toEqual(verdicts);
  const changed = [...verdicts.values()].filter(([first, second]) => first?.fault !== second?.fault);
  expect(changed.length).toBeGreaterThan(100);
});

test("faults are as frequent as was asked for, and latencies within their range", () => {
  const rates = { server_error: 0.2, rate_limited: 0.1, quota: 0.05, half_body: 0.1, timeout: 0.05 };
  const verdicts = [...judge({ latencyMs: [5, 50], rates }, CONTENTS).values()].flat();
  for (const [fault, rate] of Object.entries(rates)) {
    const count = verdicts.filter((verdict) => verdict.fault === fault).length;
    expect(count, fault).toBeGreaterThan(rate * 700);
    expect(count, fault).toBeLessThan(rate * 1_300);
  }
  const latencies = verdicts.map(({ latencyMs }) => latencyMs);
  expect([Math.min(...latencies), Math.max(...latencies)]).toEqual([5, 50]);
});

test("an order goes to the next request that it fits, once for each time", () => {
  const plan = createFaultPlan({});
  const next = (route: string, isBilled = true): string | undefined =>
    plan.next({ route, content: "", isBilled }).fault;
  plan.failNext("timeout", { route: "GET /b", times: 2 });
  plan.failNext("quota");
  expect(next("GET /a", false)).toBeUndefined();
  expect(next("GET /b")).toBe("timeout");
  expect(next("GET /a")).toBe("quota");
  expect(next("GET /b")).toBe("timeout");
  expect(next("GET /b")).toBeUndefined();
});
