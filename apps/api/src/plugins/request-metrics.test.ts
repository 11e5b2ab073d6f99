import { PassThrough } from "node:stream";
import { createApiMetrics, createSilentRegistry } from "@pipeline/metrics";
import type { LatencyWindow } from "@pipeline/watch";
import { fastify } from "fastify";
import { expect, it, onTestFinished } from "vitest";
import { requestMetrics } from "./request-metrics.ts";

/** A server whose only route answers when it is let, and is asked by a client that leaves before. */
async function leaveEarly(answer: { type: string; path: string }) {
  const registry = createSilentRegistry();
  const metrics = createApiMetrics(registry);
  const recorded: Parameters<LatencyWindow["record"]>[0][] = [];
  const traffic: LatencyWindow = {
    record: (request) => recorded.push(request),
    read: () => ({ counts: [], error_count: 0 }),
  };
  const [entered, closed, allowed, sent] = Array.from({ length: 4 }, () => Promise.withResolvers<void>());
  if (!entered || !closed || !allowed || !sent) throw new Error("Four were made.");
  const app = fastify();
  onTestFinished(() => app.close());
  await app.register(requestMetrics, { metrics, traffic });
  app.addHook("onSend", async () => sent.resolve());
  app.get(answer.path, async (_, reply) => {
    reply.raw.once("close", closed.resolve);
    entered.resolve();
    await allowed.promise;
    return reply.type(answer.type).send(new PassThrough().end("data: 1\n\n"));
  });
  const url = await app.listen({ host: "127.0.0.1", port: 0 });
  const leaving = new AbortController();
  const asking = fetch(`${url}${answer.path}`, { signal: leaving.signal }).catch(() => undefined);
  await entered.promise;
  leaving.abort();
  await asking;
  await closed.promise;
  allowed.resolve();
  await sent.promise;
  return { text: await registry.metrics(), recorded };
}

it("a stream whose reader left before it began is not open", async () => {
  const { text } = await leaveEarly({ type: "text/event-stream", path: "/stream" });
  expect(text).toMatch(/^pipeline_http_open_streams 0$/m);
  expect(text).toMatch(/^pipeline_http_requests_in_flight 0$/m);
});

it("a request that its client gave up counts with the time it waited, and is no error", async () => {
  const { text, recorded } = await leaveEarly({ type: "text/plain", path: "/jobs" });
  expect(text).toMatch(/^pipeline_http_request_duration_seconds_count\{.*status_class="aborted".*\} 1$/m);
  expect(recorded).toEqual([{ ms: expect.any(Number), isError: false }]);
});

it("a file that its client gave up says nothing about the API", async () => {
  const { recorded } = await leaveEarly({ type: "text/plain", path: "/storage/v1/object" });
  expect(recorded).toEqual([]);
});
