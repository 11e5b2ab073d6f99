import { randomUUID } from "node:crypto";
import { measureEmbedder, measureStore } from "@pipeline/composition";
import { STAGES } from "@pipeline/db";
import { readJob } from "@pipeline/db/testing";
import { createLocalEmbedder, type Embedder } from "@pipeline/embedding";
import { createCallMetrics, createSilentRegistry } from "@pipeline/metrics";
import { AppError, createLogger } from "@pipeline/runtime";
import { openTracing, type Tracing } from "@pipeline/telemetry";
import { startTraceReceiver, type TraceReceiver } from "@pipeline/telemetry/testing";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { INLINE_PARSER, makeDue, openWorkerBench, policyOf, type WorkerBench, workThrough } from "./worker.fixture.ts";
import type { Worker } from "./worker.ts";

let bench: WorkerBench;
let receiver: TraceReceiver;
let tracing: Tracing;
let warned: string[];
beforeAll(async () => {
  bench = await openWorkerBench();
});
beforeEach(async () => {
  receiver = await startTraceReceiver();
  warned = [];
  const log = createLogger({ level: "warn", service: "test", stream: { write: (line) => void warned.push(line) } });
  tracing = await openTracing({ endpoint: receiver.url, serviceName: "worker", build: "1", environment: "test", log });
});
afterEach(async () => {
  await bench.clear();
  await receiver.close();
});
afterAll(() => bench.close());

function openTraced(embedder: Embedder = createLocalEmbedder()): Worker {
  const calls = createCallMetrics(createSilentRegistry(), tracing);
  const outside = { storage: measureStore(bench.storage, calls), embedder: measureEmbedder(embedder, calls) };
  return bench.openWorker({ ...outside, parser: INLINE_PARSER, tracing });
}

test("a document's walk is one trace, the correlation id's: the claim, its nine stages, and the calls in them", async () => {
  const correlationId = randomUUID();
  const { job } = await bench.submit(policyOf(2), { correlation_id: correlationId });
  await workThrough(openTraced());
  await tracing.close();

  const { spans } = receiver;
  expect(new Set(spans.map((span) => span.traceId))).toEqual(new Set([correlationId.replaceAll("-", "")]));
  const claim = spans.find((span) => span.name === "claim");
  const { job_id, document_id } = job;
  const ids = { job_id, document_id, correlation_id: correlationId };
  expect(claim).toMatchObject({ kind: 5, attributes: { ...ids, outcome: "completed" } });
  const stages = spans.filter((span) => span.name.startsWith("stage "));
  expect(stages).toMatchObject(
    STAGES.map(({ stage }) => ({
      name: `stage ${stage}`,
      parentSpanId: claim?.spanId,
      attributes: { ...ids, stage, attempt: 1, outcome: "advance" },
      status: { code: 0 },
    })),
  );
  const parentOf = (name: string) => {
    const { parentSpanId } = spans.find((span) => span.name === name) ?? {};
    return spans.find((span) => span.spanId === parentSpanId)?.name;
  };
  expect(parentOf("disk download")).toBe("stage verify");
  expect(parentOf("local embed")).toBe("stage embed");
  const sent = receiver.bodies.join("");
  for (const text of ["water", "policy.md", "Section", job.user_id]) expect(sent).not.toContain(text);
});

test("a failed stage is an error with its code, and the attempt after it another claim in the same trace", async () => {
  const local = createLocalEmbedder();
  const failure = new AppError({ kind: "transient", code: "some_code", message: "A message with document text." });
  let isOutOfOrder = true;
  const embed: Embedder["embed"] = async (...args) => {
    if (isOutOfOrder) throw failure;
    return local.embed(...args);
  };
  const { job } = await bench.submit(policyOf(1), { correlation_id: "not a uuid" });
  const worker = openTraced({ ...local, embed });
  await workThrough(worker);
  isOutOfOrder = false;
  await makeDue(bench.database, job.job_id);
  await workThrough(worker);
  await tracing.close();

  const attempts = receiver.spans.filter((span) => span.name === "stage embed");
  expect(attempts).toMatchObject([
    { attributes: { attempt: 1, outcome: "fail", code: "some_code", "error.type": "some_code" }, status: { code: 2 } },
    { attributes: { attempt: 2, outcome: "advance" }, status: { code: 0 } },
  ]);
  const claims = receiver.spans.filter((span) => span.name === "claim");
  expect(claims.map((span) => span.attributes["outcome"])).toEqual(["retry_scheduled", "completed"]);
  expect(new Set(receiver.spans.map((span) => span.traceId)).size).toBe(1);
  expect(receiver.bodies.join("")).not.toContain("A message");
});

test("with no receiver there documents are searchable all the same, and one warning says so", async () => {
  await receiver.close();
  const { job } = await bench.submit(policyOf(1));
  await workThrough(openTraced());
  await tracing.close();
  expect(await readJob(bench.database, job.job_id)).toMatchObject({ state: "done" });
  expect(warned).toHaveLength(1);
  receiver = await startTraceReceiver();
});
