import { randomUUID } from "node:crypto";
import { createCallMetrics, createSilentRegistry } from "@pipeline/metrics";
import { createLocalEmbedder, type Embedder } from "@pipeline/embedding";
import { measureEmbedder } from "@pipeline/composition";
import { AppError, createLogger } from "@pipeline/runtime";
import { openTracing, type Tracing } from "@pipeline/telemetry";
import { type ReceivedSpan, startTraceReceiver, type TraceReceiver } from "@pipeline/telemetry/testing";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { type Call, openTestApi, type TestApi, tokenOf } from "../testing/test-api.ts";

let receiver: TraceReceiver;
/** Each test's own; they share the API. */
let tracing: Tracing;
let api: TestApi;
let isOutOfOrder = false;
let loggedBefore = 0;

beforeAll(async () => {
  const shared: Tracing = { begin: (...start) => tracing.begin(...start), close: async () => undefined };
  const local = createLocalEmbedder();
  const embed: Embedder["embed"] = async (...args) => {
    if (isOutOfOrder) throw new AppError({ kind: "transient", code: "embedder_unavailable", message: `${QUESTION}?` });
    return local.embed(...args);
  };
  const embedder = measureEmbedder({ ...local, embed }, createCallMetrics(createSilentRegistry(), shared));
  api = await openTestApi({ tracing: shared, embedder });
});
beforeEach(async () => {
  receiver = await startTraceReceiver();
  const log = createLogger({ level: "silent", service: "test" });
  tracing = await openTracing({ endpoint: receiver.url, serviceName: "api", build: "1", environment: "test", log });
  loggedBefore = countRequests();
});
afterEach(() => receiver.close());
afterAll(() => api.close());

function countRequests(): number {
  return api.readLog().match(/"msg":"request"/g)?.length ?? 0;
}

/** What arrived of these calls, which are made one after the other. */
async function trace(...calls: Call[]): Promise<ReceivedSpan[]> {
  for (const [index, call] of calls.entries()) {
    await api.call(call);
    // Its span ends with its line in the log.
    await vi.waitFor(() => expect(countRequests()).toBe(loggedBefore + index + 1), 30_000);
  }
  await tracing.close();
  return receiver.spans;
}

const USER = randomUUID();
const QUESTION = "Is water damage covered after the flood?";
const SEARCH: Call = { method: "POST", path: "/search", user: USER, body: { query: QUESTION } };

test("a request is a span in the trace of its correlation id, and what it asks of a service a part of it", async () => {
  const correlationId = randomUUID();
  const [call, request] = await trace({ ...SEARCH, headers: { "x-correlation-id": correlationId } });
  expect(request).toMatchObject({
    name: "POST /api/upload-pipeline/search",
    kind: 2,
    traceId: correlationId.replaceAll("-", ""),
    attributes: {
      "http.request.method": "POST",
      "http.route": "/api/upload-pipeline/search",
      "http.response.status_code": 200,
      correlation_id: correlationId,
    },
    status: { code: 0 },
  });
  expect(call).toMatchObject({
    name: "local embed",
    kind: 3,
    traceId: request?.traceId,
    parentSpanId: request?.spanId,
    attributes: { provider: "local", operation: "embed", outcome: "ok" },
  });
});

test("a caller's trace goes on, and is the correlation id where the caller names none", async () => {
  const traceId = randomUUID().replaceAll("-", "");
  const traceparent = `00-${traceId}-b7ad6b7169203331-01`;
  const list = { path: "/documents", user: USER };
  const spans = await trace(
    { ...list, headers: { traceparent } },
    { ...list, headers: { traceparent, "x-correlation-id": "order-7" } },
    { ...list, headers: { traceparent: "00-nonsense-01" } },
  );
  const inTrace = { traceId, parentSpanId: "b7ad6b7169203331" };
  expect(spans[0]).toMatchObject({ ...inTrace, attributes: { correlation_id: traceId } });
  expect(spans[1]).toMatchObject({ ...inTrace, attributes: { correlation_id: "order-7" } });
  const { correlation_id: made = "" } = spans[2]?.attributes ?? {};
  expect(spans[2]?.traceId).toBe(String(made).replaceAll("-", ""));
  expect(spans[2]?.parentSpanId).toBeUndefined();
});

test("problems bring their code and are no errors, and health checks bring nothing", async () => {
  const spans = await trace(
    { path: "root:/health/live" },
    { path: "/documents" },
    { path: "/no/such/route", user: USER },
    { path: "root:/health" },
  );
  expect(spans).toMatchObject([
    { name: "GET /api/upload-pipeline/documents", attributes: { code: "unauthorized" }, status: { code: 0 } },
    { name: "GET", attributes: { "http.response.status_code": 404 } },
  ]);
});

test("what is out of order is an error with its code, of the call and of the request", async () => {
  isOutOfOrder = true;
  const spans = await trace(SEARCH);
  isOutOfOrder = false;
  expect(spans).toMatchObject([
    { name: "local embed", attributes: { outcome: "failed", "error.type": "failed" }, status: { code: 2 } },
    { attributes: { "http.response.status_code": 503, "error.type": expect.any(String) }, status: { code: 2 } },
  ]);
  expect(spans[1]?.attributes["error.type"]).toBe(spans[1]?.attributes["code"]);
  expect(receiver.bodies.join("")).not.toContain("water");
});

test("nothing of a question, a file name, a token or a URL's query is in what is sent", async () => {
  const filename = "claim-of-jane-doe.md";
  const upload = { filename, mime: "text/markdown", bytes_len: 12, sha256: "0".repeat(64) };
  await trace(
    SEARCH,
    { method: "POST", path: "/upload", user: USER, body: upload },
    {
      path: "/documents?filename=jane-doe&limit=1",
      user: USER,
    },
  );
  const sent = receiver.bodies.join("");
  expect(sent).toContain("/api/upload-pipeline/search");
  const secrets = ["water", "flood", "jane", "eyJ", "Bearer", "?", USER, (await tokenOf(USER)).slice(0, 20)];
  for (const secret of secrets) expect(sent).not.toContain(secret);
});
