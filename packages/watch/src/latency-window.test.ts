import { expect, test } from "vitest";
import { addTraffic, countRequests, createLatencyWindow, LATENCY_BOUNDS, latencyQuantile } from "./latency-window.ts";
import { ALERT_RULES } from "./alert-rules.ts";

function windowWith(seconds: readonly number[]) {
  const window = createLatencyWindow(() => 0);
  for (const value of seconds) window.record({ ms: value * 1_000, isError: false });
  return window.read();
}

test("the quantile lies in the bound that holds it, and without requests there is none", () => {
  expect(latencyQuantile(windowWith([]), 0.95)).toBeUndefined();
  const mostlyFast = windowWith([...Array.from({ length: 96 }, () => 0.01), 3, 3, 3, 3]);
  expect(latencyQuantile(mostlyFast, 0.95)).toBeLessThanOrEqual(0.05);
  const slow = windowWith([...Array.from({ length: 90 }, () => 0.01), ...Array.from({ length: 10 }, () => 2.5)]);
  expect(latencyQuantile(slow, 0.95)).toBeGreaterThan(2);
  expect(latencyQuantile(slow, 0.95)).toBeLessThanOrEqual(3);
  expect(latencyQuantile(windowWith([1_000]), 0.95)).toBe(LATENCY_BOUNDS.at(-1));
});

test("whether latency is above what alerts compare with is exact, because those are bounds", () => {
  const rule = ALERT_RULES.find(({ name }) => name === "api_latency");
  expect(LATENCY_BOUNDS).toContain(rule?.threshold);
  expect(LATENCY_BOUNDS).toContain(rule?.clearThreshold);
  const exactly = windowWith(Array.from({ length: 100 }, () => rule?.threshold ?? 0));
  expect(latencyQuantile(exactly, 0.95)).toBeLessThanOrEqual(rule?.threshold ?? 0);
});

test("requests count for five minutes", () => {
  let now = 0;
  const window = createLatencyWindow(() => now);
  window.record({ ms: 10, isError: true });
  now = 200_000;
  window.record({ ms: 10, isError: false });
  expect(window.read()).toMatchObject({ error_count: 1 });
  expect(countRequests(window.read())).toBe(2);
  now = 301_000;
  expect(window.read()).toMatchObject({ error_count: 0 });
  expect(countRequests(window.read())).toBe(1);
});

test("what instances tell is added up", () => {
  const sum = addTraffic([windowWith([0.01, 3]), { ...windowWith([0.01]), error_count: 4 }]);
  expect(countRequests(sum)).toBe(3);
  expect(sum.counts[0]).toBe(2);
  expect(sum.error_count).toBe(4);
});
