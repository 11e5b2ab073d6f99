import { createHash } from "node:crypto";
import { createOpenAiEmbedder } from "@pipeline/embedding";
import { describeEmbedder } from "@pipeline/embedding/testing";
import { encode } from "gpt-tokenizer/encoding/cl100k_base";
import { APIConnectionError, AuthenticationError, BadRequestError, OpenAI, RateLimitError } from "openai";
import { afterEach, beforeAll, afterAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { startOpenAi, type OpenAi, type OpenAiOptions } from "./start-openai.ts";

const started: OpenAi[] = [];
/** A busy machine is slow. */
const PATIENTLY = { timeout: 30_000 };

afterEach(async () => {
  await Promise.all(started.splice(0).map((emulator) => emulator.close()));
});

async function start(options: OpenAiOptions = {}): Promise<{ emulator: OpenAi; client: OpenAI }> {
  const emulator = await startOpenAi(options);
  started.push(emulator);
  return { emulator, client: clientOf(emulator) };
}

function clientOf({ baseUrl }: OpenAi, options: { apiKey?: string; maxRetries?: number } = {}): OpenAI {
  return new OpenAI({ baseURL: baseUrl, apiKey: options.apiKey ?? "sk-test", maxRetries: options.maxRetries ?? 0 });
}

const MODEL = "text-embedding-3-small";

const embeddingsSchema = z.object({
  object: z.literal("list"),
  data: z.array(
    z.object({
      object: z.literal("embedding"),
      index: z.int(),
      embedding: z.union([z.string(), z.array(z.number())]),
    }),
  ),
  model: z.string(),
  usage: z.object({ prompt_tokens: z.int(), total_tokens: z.int() }),
});
const errorSchema = z.object({
  error: z.strictObject({
    message: z.string(),
    type: z.string(),
    param: z.string().nullable(),
    code: z.string().nullable(),
  }),
});

function post(emulator: OpenAi, body: unknown, key = "sk-test"): Promise<Response> {
  return fetch(`${emulator.baseUrl}/embeddings`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

async function refusal(response: Response): Promise<z.infer<typeof errorSchema>["error"] & { status: number }> {
  return { status: response.status, ...errorSchema.parse(await response.json()).error };
}

function cosine(left: readonly number[] = [], right: readonly number[] = []): number {
  return left.reduce((sum, value, index) => sum + value * (right[index] ?? Number.NaN), 0);
}

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

describe("the pipeline's own embedder on the emulator", () => {
  let emulator: OpenAi;
  beforeAll(async () => {
    emulator = await startOpenAi();
  });
  afterAll(() => emulator.close());
  describeEmbedder("OpenAI's emulator", () =>
    createOpenAiEmbedder({ apiKey: "sk-test", baseUrl: emulator.baseUrl, model: MODEL }),
  );
});

describe("embeddings", () => {
  test("the SDK gets a vector per input, in order, of length 1, alike for like texts", async () => {
    const { client } = await start();
    const input = ["How many days do I have to submit a claim?", "Submit a claim within 180 days.", "Whisk the eggs."];
    const { data, model, usage } = await client.embeddings.create({ model: MODEL, input });
    expect(data.map(({ index }) => index)).toEqual([0, 1, 2]);
    const [question, answer, other] = data.map(({ embedding }) => embedding);
    expect(question).toHaveLength(1536);
    expect(Math.hypot(...(question ?? []))).toBeCloseTo(1, 5);
    expect(cosine(question, answer)).toBeGreaterThan(cosine(question, other) + 0.1);
    expect(model).toBe(MODEL);
    expect(usage.prompt_tokens).toBe(input.reduce((sum, text) => sum + encode(text).length, 0));
    expect(usage.total_tokens).toBe(usage.prompt_tokens);
  });

  test("base64 holds the same numbers as floats, in 32 bits", async () => {
    const { emulator } = await start();
    const [floats, base64] = await Promise.all(
      ["float", "base64"].map(async (encoding_format) => {
        const response = await post(emulator, { model: MODEL, input: "a deductible of $500", encoding_format });
        return embeddingsSchema.parse(await response.json()).data[0]?.embedding;
      }),
    );
    if (typeof base64 !== "string" || !Array.isArray(floats)) throw new Error("The formats are not those asked for.");
    const bytes = Buffer.from(base64, "base64");
    expect(bytes).toHaveLength(1536 * 4);
    for (const [index, value] of floats.entries()) expect(bytes.readFloatLE(index * 4)).toBeCloseTo(value, 6);
  });

  test("a text has one vector, sent as text, in a list or as tokens", async () => {
    const { client } = await start();
    const text = "An outpatient visit costs a copay of $30.";
    const inputs = [text, [text], encode(text), [encode(text)]];
    const answers = await Promise.all(inputs.map((input) => client.embeddings.create({ model: MODEL, input })));
    const [first, ...others] = answers.map(({ data }) => data[0]?.embedding);
    for (const other of others) expect(other).toEqual(first);
    for (const { usage } of answers) expect(usage.total_tokens).toBe(encode(text).length);
  });

  test("fewer dimensions are a vector of length 1 with that many", async () => {
    const { client } = await start();
    const { data } = await client.embeddings.create({ model: MODEL, input: "a claim", dimensions: 256 });
    expect(data[0]?.embedding).toHaveLength(256);
    expect(Math.hypot(...(data[0]?.embedding ?? []))).toBeCloseTo(1, 5);
  });

  test("every model has vectors of its own", async () => {
    const { client } = await start();
    const embed = async (model: string): Promise<number[]> => {
      const { data } = await client.embeddings.create({ model, input: "the insured must give notice of a loss" });
      return data[0]?.embedding ?? [];
    };
    const [small, ada, large] = [
      await embed(MODEL),
      await embed("text-embedding-ada-002"),
      await embed("text-embedding-3-large"),
    ];
    expect(large).toHaveLength(3072);
    expect(Math.abs(cosine(small, ada))).toBeLessThan(0.5);
    expect(Math.abs(cosine(small, large.slice(0, 1536)))).toBeLessThan(0.5);
  });

  test("answers carry a request id and the state of the rate limits", async () => {
    const { emulator } = await start({ requestsPerMinute: 600, tokensPerMinute: 60_000, now: () => 0 });
    const { headers } = await post(emulator, { model: MODEL, input: "four tokens are these" });
    expect(headers.get("x-request-id")).toMatch(/^req_[0-9a-f]{32}$/);
    expect(headers.get("x-ratelimit-limit-requests")).toBe("600");
    expect(headers.get("x-ratelimit-remaining-requests")).toBe("599");
    expect(headers.get("x-ratelimit-reset-requests")).toBe("100ms");
    expect(headers.get("x-ratelimit-remaining-tokens")).toBe("59996");
    expect(headers.get("x-ratelimit-reset-tokens")).toBe("4ms");
  });
});

describe("refusals", () => {
  test("without a key, and with a wrong one", async () => {
    const { emulator } = await start({ apiKeys: ["sk-good"] });
    const none = await fetch(`${emulator.baseUrl}/models`);
    expect(await refusal(none)).toMatchObject({ status: 401, type: "invalid_request_error", code: null });
    await expect(clientOf(emulator, { apiKey: "sk-wrong" }).models.list()).rejects.toMatchObject({
      constructor: AuthenticationError,
      code: "invalid_api_key",
    });
    await expect(clientOf(emulator, { apiKey: "sk-good" }).models.list()).resolves.toBeDefined();
  });

  test.for([
    ["no model", { input: "a" }, 400, null, null],
    ["an unknown model", { model: "text-embedding-9", input: "a" }, 404, null, "model_not_found"],
    ["a token that does not exist", { model: MODEL, input: [1, 100_261] }, 400, "input", null],
    ["no input", { model: MODEL }, 400, "input", null],
    ["an input of another kind", { model: MODEL, input: { text: "a" } }, 400, "input", null],
    ["an empty input", { model: MODEL, input: ["a", ""] }, 400, "input", null],
    ["an empty list", { model: MODEL, input: [] }, 400, "input", null],
    ["too many inputs", { model: MODEL, input: manyInputs(2_049) }, 400, "input", "array_above_max_length"],
    ["an input that is too long", { model: MODEL, input: ["a", "word ".repeat(8_193)] }, 400, "input", null],
    [
      "too many tokens in all",
      { model: MODEL, input: Array.from({ length: 38 }, () => "word ".repeat(8_000)) },
      400,
      null,
      "max_tokens_per_request",
    ],
    ["more dimensions than there are", { model: MODEL, input: "a", dimensions: 1_537 }, 400, "dimensions", null],
    [
      "dimensions of a model that has one size",
      { model: "text-embedding-ada-002", input: "a", dimensions: 256 },
      400,
      "dimensions",
      null,
    ],
    ["an unknown format", { model: MODEL, input: "a", encoding_format: "hex" }, 400, "encoding_format", null],
    ["a body that is no JSON", "{", 400, null, null],
  ] as const)("%s", async ([, body, status, param, code]) => {
    const { emulator } = await start();
    expect(await refusal(await post(emulator, body))).toMatchObject({ status, param, code });
    expect(emulator.stats().billed_tokens).toBe(0);
  });

  test("an address that does not exist, such as one without /v1", async () => {
    const { emulator } = await start();
    const response = await fetch(`${emulator.url}/embeddings`, { method: "POST" });
    expect(await refusal(response)).toMatchObject({ status: 404, type: "invalid_request_error", code: null });
  });

  test("2,048 inputs and 8,192 tokens are still taken", async () => {
    const { emulator } = await start();
    const many = await post(emulator, { model: MODEL, input: manyInputs(2_048), dimensions: 8 });
    expect(many.status).toBe(200);
    const long = await post(emulator, { model: MODEL, input: "word ".repeat(8_191) });
    expect(long.status).toBe(200);
    expect(emulator.stats().inputs).toHaveLength(2_049);
  });

  test("above the account's rate, with the time to wait in headers", async () => {
    let time = 0;
    const { emulator, client } = await start({ tokensPerMinute: 60, now: () => time });
    const input = "one two three four five six seven eight nine ten ".repeat(5).trim();
    await client.embeddings.create({ model: MODEL, input });
    const response = await post(emulator, { model: MODEL, input });
    expect(response.headers.get("retry-after-ms")).toBe("40000");
    expect(response.headers.get("retry-after")).toBe("40");
    expect(response.headers.get("x-ratelimit-remaining-tokens")).toBe("10");
    expect(await refusal(response)).toMatchObject({ status: 429, type: "tokens", code: "rate_limit_exceeded" });
    time += 40_000;
    expect((await post(emulator, { model: MODEL, input })).status).toBe(200);
  });
});

function manyInputs(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `passage ${index}`);
}

describe("models", () => {
  test("are listed and shown one by one", async () => {
    const { client } = await start();
    const { data } = await client.models.list();
    expect(data.map(({ id }) => id)).toContain(MODEL);
    expect(await client.models.retrieve(MODEL)).toMatchObject({ id: MODEL, object: "model" });
    await expect(client.models.retrieve("gpt-none")).rejects.toMatchObject({ status: 404, code: "model_not_found" });
  });
});

describe("faults", () => {
  test("a rate limit that the SDK waits out by itself", async () => {
    const { emulator } = await start();
    emulator.failNext("rate_limited", { times: 2 });
    const { data } = await clientOf(emulator, { maxRetries: 2 }).embeddings.create({ model: MODEL, input: "a claim" });
    expect(data).toHaveLength(1);
    expect(emulator.stats()).toMatchObject({
      answers: { "POST /v1/embeddings": { "200": 1, "429": 2 } },
      faults: { rate_limited: 2 },
      paid_again_count: 0,
    });
  });

  test("a used-up quota, which has a code of its own and no time to wait", async () => {
    const { emulator, client } = await start();
    emulator.failNext("quota", { times: 2 });
    // What costs nothing is still answered.
    await expect(client.models.list()).resolves.toBeDefined();
    await expect(client.embeddings.create({ model: MODEL, input: "a" })).rejects.toMatchObject({
      constructor: RateLimitError,
      code: "insufficient_quota",
    });
    const { headers } = await post(emulator, { model: MODEL, input: "a" });
    expect([headers.get("retry-after"), headers.get("retry-after-ms")]).toEqual([null, null]);
    expect(emulator.stats().billed_tokens).toBe(0);
  });

  test("server faults, of which some come from a proxy without JSON", async () => {
    const { emulator } = await start({ rates: { server_error: 1 } });
    const answers = await Promise.all(
      manyInputs(30).map(async (input) => {
        const response = await post(emulator, { model: MODEL, input });
        return `${response.status} ${response.headers.get("content-type")?.split(";")[0]}`;
      }),
    );
    expect(new Set(answers)).toEqual(new Set(["500 application/json", "503 application/json", "502 text/html"]));
  });

  test("half a body: the answer breaks off after it was billed, and paying again counts as no mistake", async () => {
    const { emulator, client } = await start();
    emulator.failNext("half_body");
    const response = await post(emulator, { model: MODEL, input: "a claim" });
    expect(response.status).toBe(200);
    await expect(response.text()).rejects.toThrow(/terminated|closed/);
    await client.embeddings.create({ model: MODEL, input: "a claim" });
    expect(emulator.stats()).toMatchObject({ billed_tokens: 4, paid_again_count: 0 });
    expect(emulator.stats().inputs).toEqual([
      { sha256: sha256("a claim"), model: MODEL, tokens: 2, paid_count: 2, lost_count: 1, paid_again_count: 0 },
    ]);
  });

  test("no answer at all: the client gives up, and the connection is cut after a while", async () => {
    const { emulator, client } = await start({ hangMs: 600_000 });
    emulator.failNext("timeout");
    const patience = new AbortController();
    const hanging = client.embeddings.create({ model: MODEL, input: "a claim" }, { signal: patience.signal });
    await expect.poll(() => emulator.stats().inputs.length, PATIENTLY).toBe(1);
    patience.abort();
    await expect(hanging).rejects.toThrow(/abort/i);
    await expect.poll(() => emulator.stats().inputs[0]?.lost_count, PATIENTLY).toBe(1);

    const { emulator: brief, client: other } = await start({ hangMs: 20, rates: { timeout: 1 } });
    await expect(other.embeddings.create({ model: MODEL, input: "a" })).rejects.toBeInstanceOf(APIConnectionError);
    expect(brief.stats()).toMatchObject({ faults: { timeout: 1 }, answers: { "POST /v1/embeddings": { "200": 1 } } });
  });

  test("closing ends requests that hang", async () => {
    const { emulator } = await start({ hangMs: 600_000 });
    emulator.failNext("timeout");
    const hanging = post(emulator, { model: MODEL, input: "a" }).then(
      () => "answered",
      () => "cut",
    );
    await expect.poll(() => emulator.stats().faults.timeout, PATIENTLY).toBe(1);
    await emulator.close();
    expect(await hanging).toBe("cut");
  });

  test("the same seed gives the same faults to the same requests, in whatever order they come", async () => {
    const rates = { server_error: 0.2, rate_limited: 0.2, quota: 0.1, half_body: 0.1 };
    const outcomes = async (seed: number, texts: string[]): Promise<string[]> => {
      const { emulator } = await start({ seed, rates });
      const found = await Promise.all(
        texts.map(async (input) => {
          const response = await post(emulator, { model: MODEL, input });
          const body = await response.text().catch(() => "cut");
          return `${input} ${response.status} ${body === "cut"}`;
        }),
      );
      return found.toSorted();
    };
    const texts = manyInputs(40);
    const first = await outcomes(7, texts);
    expect(new Set(first.map((line) => line.split(" ")[2])).size).toBeGreaterThan(2);
    expect(await outcomes(7, texts.toReversed())).toEqual(first);
    expect(await outcomes(8, texts)).not.toEqual(first);
  });

  test("a test can hold a request, and learn that it came", async () => {
    const gate = Promise.withResolvers<void>();
    const seen: unknown[] = [];
    const { client } = await start({
      onRequest: async ({ route, headers }) => {
        seen.push([route, headers["x-correlation-id"]]);
        await gate.promise;
      },
    });
    let isAnswered = false;
    const headers = { "X-Correlation-Id": "7" };
    const held = client.embeddings.create({ model: MODEL, input: "a" }, { headers }).then(() => (isAnswered = true));
    await expect.poll(() => seen, PATIENTLY).toEqual([["POST /v1/embeddings", "7"]]);
    expect(isAnswered).toBe(false);
    gate.resolve();
    expect(await held).toBe(true);
  });

  test("rates that cannot be are refused at the start", async () => {
    await expect(startOpenAi({ rates: { timeout: 0.6, quota: 0.6 } })).rejects.toMatchObject({
      code: "invalid_mock_options",
    });
    await expect(startOpenAi({ latencyMs: [10, 5] })).rejects.toMatchObject({ code: "invalid_mock_options" });
  });
});

describe("what is billed", () => {
  test("a client that tries again gets through a fifth of faults, and pays again for lost answers alone", async () => {
    const rates = { server_error: 0.05, rate_limited: 0.05, half_body: 0.05, timeout: 0.05 };
    const { emulator, client } = await start({ rates, hangMs: 5 });
    const embed = async (input: string): Promise<number> => {
      try {
        return (await client.embeddings.create({ model: MODEL, input })).data.length;
      } catch {
        return embed(input);
      }
    };
    const inputs = manyInputs(200);
    const counts = await Promise.all(inputs.map(embed));
    expect(counts).toEqual(inputs.map(() => 1));
    const { faults, paid_again_count, inputs: billed } = emulator.stats();
    for (const fault of ["server_error", "rate_limited", "half_body", "timeout"] as const) {
      expect(faults[fault], fault).toBeGreaterThan(0);
    }
    expect(paid_again_count).toBe(0);
    expect(billed).toHaveLength(200);
    const lost = billed.reduce((sum, { lost_count }) => sum + lost_count, 0);
    expect(lost).toBe(faults.half_body + faults.timeout);
  });

  test("an input that was paid and delivered, and is sent again, shows", async () => {
    const { emulator, client } = await start();
    await client.embeddings.create({ model: MODEL, input: ["a claim", "a policy"] });
    await client.embeddings.create({ model: MODEL, input: ["a policy", "a premium"] });
    const { paid_again_count, inputs } = emulator.stats();
    expect(paid_again_count).toBe(1);
    expect(inputs.filter((input) => input.paid_again_count > 0).map((input) => input.sha256)).toEqual([
      sha256("a policy"),
    ]);
  });

  test("stats and orders for faults over HTTP, for tests in another process", async () => {
    const { emulator, client } = await start();
    const order = (body: unknown): Promise<Response> =>
      fetch(`${emulator.url}/__emulator/faults`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
      });
    expect((await order({ fault: "server_error", route: "POST /v1/embeddings" })).status).toBe(204);
    expect((await order({ fault: "earthquake" })).status).toBe(400);
    await expect(client.models.list()).resolves.toBeDefined();
    await expect(client.embeddings.create({ model: MODEL, input: "a" })).rejects.not.toBeInstanceOf(BadRequestError);
    await client.embeddings.create({ model: MODEL, input: "a" });
    const stats: unknown = await (await fetch(`${emulator.url}/__emulator/stats`)).json();
    expect(stats).toEqual(emulator.stats());
    expect(stats).toMatchObject({ billed_tokens: 1, faults: { server_error: 1 } });
  });
});

test("a taken port is told with a code", async () => {
  const { emulator } = await start();
  await expect(startOpenAi({ port: Number(new URL(emulator.url).port) })).rejects.toMatchObject({
    code: "port_in_use",
  });
});
