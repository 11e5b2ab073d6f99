import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { correlated, createLogger } from "@pipeline/runtime";
import { afterEach, beforeEach, expect, test } from "vitest";
import { z } from "zod";
import { openTracing } from "./open-tracing.ts";
import { startTraceReceiver, type TraceReceiver } from "./testing/trace-receiver.ts";
import { NO_TRACING, type Tracing } from "./tracing.ts";

const CORRELATION_ID = "0af76519-16cd-43dd-8448-eb211c80319c";
const TRACE_ID = "0af7651916cd43dd8448eb211c80319c";

let receiver: TraceReceiver;
let logged: string[];
beforeEach(async () => {
  receiver = await startTraceReceiver();
  logged = [];
});
afterEach(() => receiver.close());

function open(overrides: { endpoint?: string; headers?: Record<string, string> } = {}): Promise<Tracing> {
  const log = createLogger({ level: "trace", service: "test", stream: { write: (line) => void logged.push(line) } });
  return openTracing({
    endpoint: receiver.url,
    serviceName: "tested",
    build: "1.0.0",
    environment: "test",
    log,
    ...overrides,
  });
}

test("spans arrive as parts of each other, with what began and ended them, under the correlation id's trace", async () => {
  const tracing = await open({ headers: { "x-api-key": "key of the receiver" } });
  const job = tracing.begin("job", { kind: "consumer", attributes: { correlation_id: CORRELATION_ID } });
  await job.run(async () => {
    const stage = tracing.begin("stage", { kind: "internal", attributes: { attempt: 2 } });
    await stage.run(async () => tracing.begin("call", { kind: "client", attributes: {} }).end({ outcome: "ok" }));
    stage.end({ outcome: "fail", "error.type": "stage_timeout" });
  });
  job.end();
  job.end({ outcome: "late" });
  await tracing.close();

  const [call, stage, root] = receiver.spans;
  const resource = { "service.name": "tested", "service.version": "1.0.0", "deployment.environment.name": "test" };
  expect(receiver.spans).toHaveLength(3);
  expect(root).toMatchObject({ name: "job", kind: 5, attributes: { correlation_id: CORRELATION_ID }, resource });
  expect(root?.parentSpanId).toBeUndefined();
  expect(stage).toMatchObject({
    parentSpanId: root?.spanId,
    kind: 1,
    attributes: { attempt: 2, outcome: "fail", "error.type": "stage_timeout" },
    status: { code: 2 },
  });
  expect(call).toMatchObject({
    parentSpanId: stage?.spanId,
    kind: 3,
    attributes: { outcome: "ok" },
    status: { code: 0 },
  });
  expect(new Set(receiver.spans.map((span) => span.traceId))).toEqual(new Set([TRACE_ID]));
  expect(receiver.headers).toMatchObject([{ "x-api-key": "key of the receiver" }]);
  expect(logged).toEqual([]);
});

test("spans at once do not mix, and each knows the correlation id that it runs under", async () => {
  const tracing = await open();
  const ids = ["one", "two", "three"];
  await Promise.all(
    ids.map((id) =>
      correlated(id, async () => {
        const outer = tracing.begin(id, { kind: "internal", attributes: {} });
        await outer.run(async () => {
          await new Promise(setImmediate);
          tracing.begin(`in ${id}`, { kind: "client", attributes: {} }).end();
        });
        outer.end();
      }),
    ),
  );
  await tracing.close();
  const find = (name: string) => receiver.spans.find((span) => span.name === name);
  for (const id of ids)
    expect(find(`in ${id}`)).toMatchObject({ parentSpanId: find(id)?.spanId, traceId: find(id)?.traceId });
  expect(new Set(receiver.spans.map((span) => span.traceId)).size).toBe(3);
});

test("a caller's trace goes on, unless the caller does not record it, and a call for nobody is not traced", async () => {
  const tracing = await open();
  const begin = (traceparent: string) =>
    tracing.begin("request", { kind: "server", attributes: { correlation_id: "other" }, traceparent }).end();
  begin(`00-${TRACE_ID}-b7ad6b7169203331-01`);
  begin(`00-${TRACE_ID}-b7ad6b7169203331-00`);
  tracing.begin("call", { kind: "client", attributes: {} }).end();
  await tracing.close();
  expect(receiver.spans).toMatchObject([{ name: "request", traceId: TRACE_ID, parentSpanId: "b7ad6b7169203331" }]);
});

test("a receiver that refuses costs one warning without what was sent, and its return one line", async () => {
  const tracing = await open();
  // 400 is final, as nothing else is repeated by the exporter.
  receiver.answerNext(400, 400);
  for (const count of [1, 2, 3]) {
    // A full batch goes out by itself.
    for (let span = 0; span < 512; span += 1) tracing.begin("work", { kind: "internal", attributes: {} }).end();
    await expect.poll(() => receiver.bodies.length, { timeout: 30_000, interval: 10 }).toBe(count);
  }
  await tracing.close();
  expect(receiver.spans).toHaveLength(512);
  const lines = logged.map((line): unknown => JSON.parse(line));
  expect(lines).toMatchObject([
    { level: "warn", msg: "traces not taken" },
    { level: "info", msg: "traces taken again" },
  ]);
});

test("with nobody there closing is over in bounded time and says so once", async () => {
  const endpoint = receiver.url;
  await receiver.close();
  const tracing = await open({ endpoint });
  for (let span = 0; span < 5_000; span += 1) tracing.begin("work", { kind: "internal", attributes: {} }).end();
  await tracing.close();
  expect(logged.map((line): unknown => JSON.parse(line))).toMatchObject([
    { level: "warn", msg: "traces not sent in time" },
  ]);
  receiver = await startTraceReceiver();
});

test("where nothing is configured nothing of OpenTelemetry is loaded", async () => {
  expect(await openTracing({ ...UNCONFIGURED, log: createLogger({ level: "silent", service: "test" }) })).toBe(
    NO_TRACING,
  );
  expect(await loadedBy(undefined)).toEqual([]);
  expect(await loadedBy(receiver.url)).toContain("@opentelemetry/sdk-trace");
});

const UNCONFIGURED = { endpoint: undefined, serviceName: "tested", build: "1.0.0", environment: "test" };

/** What a process of its own asks for when it opens its tracing. */
async function loadedBy(endpoint: string | undefined): Promise<string[]> {
  const program = `
    import { registerHooks } from "node:module";
    const asked = [];
    registerHooks({ resolve: (name, context, next) => (asked.push(name), next(name, context)) });
    const { openTracing } = await import("./open-tracing.ts");
    await openTracing(${JSON.stringify({ ...UNCONFIGURED, endpoint })});
    console.log(JSON.stringify(asked.filter((name) => name.startsWith("@opentelemetry/"))));`;
  const args = ["--input-type=module", "--eval", program];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: import.meta.dirname });
  return z.array(z.string()).parse(JSON.parse(stdout));
}
