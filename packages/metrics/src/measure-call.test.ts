import { AppError } from "@pipeline/runtime";
import { Registry } from "@prometheus-io/client";
import { expect, test } from "vitest";
import { createCallMetrics } from "./call-metrics.ts";
import { measureCall } from "./measure-call.ts";

const failure = (kind: AppError["kind"]) => new AppError({ kind, code: "some_code", message: "A message." });

test.each([
  ["ok", undefined],
  ["rate_limited", failure("rate_limited")],
  ["failed", failure("transient")],
  ["refused", failure("permanent")],
  ["refused", failure("not_found")],
  ["stopped", new DOMException("aborted", "AbortError")],
])("a call is counted as %s by how it ended, and its failure passes", async (outcome, error) => {
  const registry = new Registry();
  const metrics = createCallMetrics(registry);
  const call = async (): Promise<undefined> => {
    if (error !== undefined) throw error;
  };
  const measured = measureCall(metrics, { provider: "openai", operation: "embed" }, call);
  expect(await measured.catch((thrown: unknown) => thrown)).toBe(error);
  expect(await registry.metrics()).toContain(
    `pipeline_external_call_duration_seconds_count{provider="openai",operation="embed",outcome="${outcome}"} 1`,
  );
});
