import { inspect } from "node:util";
import { AppError } from "@pipeline/runtime";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { describeEmbedder } from "./embedder.suite.ts";
import { EMBEDDING_DIMENSIONS } from "./embedder.ts";
import { createOpenAiEmbedder } from "./openai-embedder.ts";
import {
  answerEmbeddings,
  encodeFloats,
  type LoopbackAnswer,
  type OpenAiLoopback,
  sendJson,
  startOpenAiLoopback,
} from "./openai-loopback.fixture.ts";

const API_KEY = "sk-loopback-0123456789";
const SECRET_TEXT = "Policyholder Jane Doe suffers from gout";
const MODEL = "text-embedding-3-small";

let loopback: OpenAiLoopback;
beforeAll(async () => {
  loopback = await startOpenAiLoopback();
});
afterAll(async () => loopback.close());
beforeEach(() => {
  loopback.requests.length = 0;
  loopback.answer = answerEmbeddings({ format: "base64", isShuffled: false });
});

function buildEmbedder({ model = MODEL, timeoutMs = 10_000 } = {}) {
  return createOpenAiEmbedder({ apiKey: API_KEY, baseUrl: loopback.baseUrl, model, timeoutMs });
}

/** The error of one call that the server answers as told; it must be the only request and quote no secret. */
async function embedAgainst(answer: LoopbackAnswer, options: { timeoutMs?: number } = {}): Promise<AppError> {
  loopback.answer = answer;
  const outcome = await buildEmbedder(options)
    .embed([SECRET_TEXT], { signal: new AbortController().signal })
    .catch((error: unknown) => error);
  if (!(outcome instanceof AppError)) throw new Error("expected an AppError", { cause: outcome });
  expect(loopback.requests).toHaveLength(1);
  expect(inspect(outcome, { depth: 10, showHidden: true })).not.toMatch(/Jane|gout|0123456789/);
  return outcome;
}

/** An error body as the API sends it, quoting what it should not. */
function refuse(status: number, fields: { code?: string; type?: string; headers?: Record<string, string> }) {
  const { headers = {}, ...rest } = fields;
  const message = `Incorrect key ${API_KEY} for input ${SECRET_TEXT}`;
  const error = { message, param: SECRET_TEXT, code: null, type: "invalid_request_error", ...rest };
  return (response: Parameters<LoopbackAnswer>[0]) => sendJson(response, { error }, { status, headers });
}

describeEmbedder("OpenAI answering in base64", () => buildEmbedder());

describe("with a server that sends float arrays out of order", () => {
  beforeEach(() => {
    loopback.answer = answerEmbeddings({ format: "float", isShuffled: true });
  });
  describeEmbedder("OpenAI answering in floats", () => buildEmbedder());
});

describe("the request", () => {
  test("holds the texts, the model, the key and the correlation id, and reports the billed tokens", async () => {
    const result = await buildEmbedder().embed(["first text", "second text"], { correlationId: "c-42" });
    expect(result.total_tokens).toBe(6);
    expect(loopback.requests).toHaveLength(1);
    expect(loopback.requests[0]).toMatchObject({
      method: "POST",
      url: "/v1/embeddings",
      headers: { authorization: `Bearer ${API_KEY}`, "x-correlation-id": "c-42" },
      body: { model: MODEL, input: ["first text", "second text"], dimensions: EMBEDDING_DIMENSIONS },
    });
  });

  test("has no correlation id that nobody gave, and no dimensions for models that take none", async () => {
    await buildEmbedder({ model: "text-embedding-ada-002" }).embed(["text"], {});
    expect(loopback.requests[0]?.headers).not.toHaveProperty("x-correlation-id");
    expect(loopback.requests[0]?.body).not.toHaveProperty("dimensions");
  });

  test("is not sent for no texts or for an aborted signal", async () => {
    await buildEmbedder().embed([], {});
    await buildEmbedder()
      .embed(["text"], { signal: AbortSignal.abort() })
      .catch(() => undefined);
    expect(loopback.requests).toHaveLength(0);
  });
});

describe("a refusal", () => {
  test.for([
    { status: 400, fields: {}, kind: "permanent", code: "embedding_rejected" },
    { status: 401, fields: { code: "invalid_api_key" }, kind: "permanent", code: "embedding_unauthorized" },
    { status: 403, fields: {}, kind: "permanent", code: "embedding_unauthorized" },
    { status: 404, fields: { code: "model_not_found" }, kind: "permanent", code: "embedding_model_not_found" },
    { status: 408, fields: {}, kind: "transient", code: "embedding_unavailable" },
    { status: 409, fields: {}, kind: "transient", code: "embedding_unavailable" },
    { status: 413, fields: {}, kind: "permanent", code: "embedding_too_large" },
    { status: 422, fields: {}, kind: "permanent", code: "embedding_rejected" },
    { status: 429, fields: { code: "rate_limit_exceeded" }, kind: "rate_limited", code: "embedding_rate_limited" },
    { status: 429, fields: { code: "insufficient_quota" }, kind: "permanent", code: "embedding_quota_exhausted" },
    { status: 429, fields: { type: "insufficient_quota" }, kind: "permanent", code: "embedding_quota_exhausted" },
    { status: 500, fields: {}, kind: "transient", code: "embedding_unavailable" },
    { status: 503, fields: {}, kind: "transient", code: "embedding_unavailable" },
  ])("with $status $fields becomes $kind $code", async ({ status, fields, kind, code }) => {
    const error = await embedAgainst(refuse(status, fields));
    expect(error).toMatchObject({ kind, code, details: { status, request_id: "req_loopback" } });
  });

  test.for([
    { status: 500, said: "false", code: undefined, kind: "permanent" },
    { status: 429, said: "false", code: undefined, kind: "permanent" },
    { status: 400, said: "true", code: undefined, kind: "transient" },
    { status: 429, said: "true", code: undefined, kind: "rate_limited" },
    { status: 429, said: "true", code: "insufficient_quota", kind: "permanent" },
  ])("with $status $code and x-should-retry $said is $kind", async ({ status, said, code, kind }) => {
    const headers = { "x-should-retry": said };
    const error = await embedAgainst(refuse(status, code === undefined ? { headers } : { code, headers }));
    expect(error.kind).toBe(kind);
  });

  test("says how long to wait, where it is worth waiting", async () => {
    const headers = { "retry-after": "7" };
    expect(await embedAgainst(refuse(429, { headers }))).toHaveProperty("retryAfterMs", 7000);
    loopback.requests.length = 0;
    expect(await embedAgainst(refuse(503, { headers }))).toHaveProperty("retryAfterMs", 7000);
    loopback.requests.length = 0;
    expect(await embedAgainst(refuse(400, { headers }))).toHaveProperty("retryAfterMs", undefined);
  });

  test("keeps the provider's code but no free text in its place", async () => {
    const error = await embedAgainst(refuse(400, { code: "string_above_max_length", type: SECRET_TEXT }));
    expect(error.details).toMatchObject({ code: "string_above_max_length", type: undefined });
  });

  test("that is not JSON is told by its status", async () => {
    const error = await embedAgainst((response) => void response.writeHead(502).end(`<html>${SECRET_TEXT}</html>`));
    expect(error).toMatchObject({ kind: "transient", code: "embedding_unavailable" });
  });

  test("by redirect is not followed", async () => {
    const error = await embedAgainst((response) => void response.writeHead(307, { location: "/v1/embeddings" }).end());
    expect(error).toMatchObject({ kind: "permanent", code: "embedding_rejected", details: { status: 307 } });
  });
});

describe("an answer", () => {
  const vector = Array.from({ length: EMBEDDING_DIMENSIONS }, () => 0.5);
  const withNaN = vector.with(7, Number.NaN);
  const usage = { prompt_tokens: 1, total_tokens: 1 };
  const item = { index: 0, embedding: vector };

  test.for([
    { fault: "that is an error under status 200", body: { error: { message: SECRET_TEXT } }, says: "shape" },
    { fault: "of null", body: null, says: "shape" },
    { fault: "without usage", body: { data: [item] }, says: '"usage"' },
    { fault: "without the vector", body: { data: [], usage }, says: "0 vectors" },
    { fault: "with a vector too many", body: { data: [item, { ...item, index: 1 }], usage }, says: "2 vectors" },
    { fault: "with a repeated index", body: { data: [item, item], usage }, says: "indexes" },
    { fault: "with an index off by one", body: { data: [{ ...item, index: 1 }], usage }, says: "indexes" },
    { fault: "of another dimension", body: { data: [{ ...item, embedding: [1] }], usage }, says: "1 dimensions" },
    { fault: "of zeros", body: { data: [{ ...item, embedding: vector.map(() => 0) }], usage }, says: "zeros" },
    { fault: "with a word for a number", body: { data: [{ ...item, embedding: ["x"] }], usage }, says: "shape" },
    { fault: "with NaN", body: { data: [{ ...item, embedding: encodeFloats(withNaN) }], usage }, says: "finite" },
    { fault: "cut inside a number", body: { data: [{ ...item, embedding: "AAAAAAA=" }], usage }, says: "cut off" },
  ])("$fault is embedding_invalid and worth another try", async ({ body, says }) => {
    const error = await embedAgainst((response) => sendJson(response, body));
    expect(error).toMatchObject({ kind: "transient", code: "embedding_invalid" });
    expect(error.message).toContain(says);
  });

  test.for([
    { fault: "that is broken JSON", type: "application/json", body: `{"data":["${SECRET_TEXT}` },
    { fault: "that is empty", type: "application/json", body: "" },
    { fault: "that is a web page", type: "text/html", body: `<html>${SECRET_TEXT}</html>` },
  ])("$fault is embedding_invalid and worth another try", async ({ type, body }) => {
    const error = await embedAgainst((response) => void response.writeHead(200, { "content-type": type }).end(body));
    expect(error).toMatchObject({ kind: "transient", code: "embedding_invalid" });
  });
});

describe("a connection", () => {
  const head = { "content-type": "application/json", "content-length": "1000" };

  test.for<{ fault: string; answer: LoopbackAnswer }>([
    { fault: "that is closed without an answer", answer: (response) => void response.destroy() },
    {
      fault: "that breaks inside the answer",
      answer: (response) => void response.writeHead(200, head).write("{", () => response.destroy()),
    },
  ])("$fault is embedding_unavailable", async ({ answer }) => {
    expect(await embedAgainst(answer)).toMatchObject({ kind: "transient", code: "embedding_unavailable" });
  });

  test.for<{ fault: string; answer: LoopbackAnswer }>([
    { fault: "without an answer", answer: () => undefined },
    { fault: "that stalls inside the answer", answer: (response) => void response.writeHead(200, head).write("{") },
    { fault: "that stalls inside a refusal", answer: (response) => void response.writeHead(400, head).write("{") },
  ])("$fault is cut off and reported as embedding_unavailable", async ({ answer }) => {
    const error = await embedAgainst(answer, { timeoutMs: 100 });
    expect(error).toMatchObject({ kind: "transient", code: "embedding_unavailable" });
    expect(error.message).toContain("in time");
  });

  test("that nobody accepts is embedding_unavailable", async () => {
    const gone = await startOpenAiLoopback();
    await gone.close();
    const embedder = createOpenAiEmbedder({ apiKey: API_KEY, baseUrl: gone.baseUrl, model: MODEL });
    await expect(embedder.embed([SECRET_TEXT], {})).rejects.toMatchObject({ code: "embedding_unavailable" });
  });

  test.for(["before the answer", "inside the answer"])(
    "aborted %s rejects with the signal's reason",
    async (moment) => {
      const controller = new AbortController();
      const reason = new Error("lease lost");
      loopback.answer = (response) => {
        if (moment === "before the answer") controller.abort(reason);
        else response.writeHead(200, head).write("{", () => controller.abort(reason));
      };
      await expect(buildEmbedder().embed(["text"], { signal: controller.signal })).rejects.toBe(reason);
    },
  );
});

describe("the configuration", () => {
  test.for([
    { fault: "dimensions that cannot be stored", input: { apiKey: API_KEY, model: MODEL, dimensions: 512 } },
    { fault: "an empty key", input: { apiKey: "", model: MODEL } },
    { fault: "a key with a line break", input: { apiKey: `${API_KEY}\n`, model: MODEL } },
  ])("with $fault is refused at once", ({ input }) => {
    expect(() => createOpenAiEmbedder(input)).toThrow(
      expect.objectContaining({ code: "embedding_configuration_invalid" }),
    );
    expect(() => createOpenAiEmbedder(input)).not.toThrow(API_KEY);
  });
});
