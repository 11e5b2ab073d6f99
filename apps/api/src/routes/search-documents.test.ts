import { randomUUID } from "node:crypto";
import { createServer, type Server } from "node:http";
import { createOpenAiEmbedder, type Embedder } from "@pipeline/embedding";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { buildApi } from "../app.ts";
import { completeDocument } from "../testing/documents.ts";
import { openTestApi, problemOf, send, type Answer, type TestApi } from "../testing/test-api.ts";

const answerBody = z.object({
  results: z.array(
    z.object({ document_id: z.string(), text: z.string(), similarity: z.number(), token_count: z.number() }),
  ),
  used_tokens: z.number(),
});

const DEDUCTIBLE = "The annual deductible for hospital stays is 500 euros per insured person.";
const DENTAL = "Dental treatment is refunded at 80 percent after a waiting period of eight months.";
const CLAIMS = "Claims for hospital stays must be sent in within 90 days, with the original invoice.";

const user = randomUUID();
let api: TestApi;
let booklet: { document_id: string; job_id: string };
beforeAll(async () => {
  api = await openTestApi();
  booklet = await completeDocument(api.database, {
    user_id: user,
    filename: "benefits.txt",
    metadata: { product: { name: "gold" }, year: 2026, tags: ["car", "home"] },
    passages: [
      { text: DEDUCTIBLE, page: 3, token_count: 60, section_path: ["Benefits", "Hospital"] },
      { text: DENTAL, page: 4, token_count: 50 },
      { text: CLAIMS, page: 5, token_count: 30, section_path: ["Claims"] },
    ],
  });
});
afterAll(() => api.close());

function search(body: Record<string, unknown>, asking = user): Promise<Answer> {
  return api.call({ method: "POST", path: "/search", user: asking, body });
}

async function findTexts(body: Record<string, unknown>, asking = user): Promise<string[]> {
  const answer = await search(body, asking);
  expect(answer.status).toBe(200);
  return answerBody.parse(answer.body).results.map((result) => result.text);
}

describe("POST /search", () => {
  it("answers the nearest passages first, with where they stand", async () => {
    const answer = await search({ query: "What is the deductible for hospital stays?" });
    expect(answer.status).toBe(200);
    const { results, used_tokens } = answerBody.parse(answer.body);
    expect(answer.body["results"]).toMatchObject([
      {
        document_id: booklet.document_id,
        filename: "benefits.txt",
        chunk_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
        text: DEDUCTIBLE,
        page_start: 3,
        page_end: 3,
        section: "Benefits > Hospital",
        token_count: 60,
      },
      { text: CLAIMS, page_start: 5, section: "Claims" },
    ]);
    expect(used_tokens).toBe(90);
    for (const { similarity } of results) expect(similarity).toBeGreaterThanOrEqual(0.3);
  });

  it("says null for the section of a passage without headings", async () => {
    const answer = await search({ query: "Dental treatment waiting period" });
    expect(answer.body["results"]).toMatchObject([{ text: DENTAL, section: null }]);
  });

  it("leaves out what does not fit the token budget and goes on behind it", async () => {
    const query = "What is the deductible for hospital stays?";
    expect(await findTexts({ query, token_budget: 59 })).toEqual([CLAIMS]);
    expect(await findTexts({ query, token_budget: 89 })).toEqual([DEDUCTIBLE]);
    expect((await search({ query, token_budget: 29 })).body).toEqual({
      results: [],
      used_tokens: 0,
      other_model_documents: false,
    });
  });

  it("keeps to the limit and the threshold asked for", async () => {
    const query = "What is the deductible for hospital stays?";
    expect(await findTexts({ query, limit: 1 })).toEqual([DEDUCTIBLE]);
    expect(await findTexts({ query, threshold: -1 })).toHaveLength(3);
    expect(await findTexts({ query, threshold: 1 })).toEqual([]);
  });

  it("looks into the documents and the metadata asked for only", async () => {
    const query = "hospital stays deductible";
    const other = await completeDocument(api.database, {
      user_id: user,
      passages: [{ text: `${DEDUCTIBLE} Silver.` }],
    });
    expect(await findTexts({ query, document_ids: [other.document_id] })).toEqual([`${DEDUCTIBLE} Silver.`]);
    expect(await findTexts({ query, document_ids: [randomUUID()] })).toEqual([]);
    expect(await findTexts({ query, metadata: { product: { name: "gold" } } })).toEqual([DEDUCTIBLE, CLAIMS]);
    expect(await findTexts({ query, metadata: { tags: ["home"] } })).toEqual([DEDUCTIBLE, CLAIMS]);
    expect(await findTexts({ query, metadata: { tags: ["home", "boat"] } })).toEqual([]);
    expect(await findTexts({ query, metadata: { product: { name: "silver" } } })).toEqual([]);
    expect(await findTexts({ query, metadata: { year: 2025 } })).toEqual([]);
  });

  it("finds nothing of somebody else, whatever is asked for", async () => {
    const query = "hospital stays deductible";
    const stranger = randomUUID();
    expect(await findTexts({ query, threshold: -1 }, stranger)).toEqual([]);
    expect(await findTexts({ query, threshold: -1, document_ids: [booklet.document_id] }, stranger)).toEqual([]);
  });

  it("says so when documents cannot be seen because another model embedded them", async () => {
    const other = randomUUID();
    const passages = [{ text: DENTAL }];
    const { document_id } = await completeDocument(api.database, { user_id: other, filename: "a.txt", passages });
    await api.database.run(
      `update ${api.database.schema}.document_chunks set embed_model = 'other' where document_id = $1`,
      [document_id],
    );
    const answer = await search({ query: "dental treatment" }, other);
    expect(problemOf(answer)).toMatchObject({ status: 409, code: "embedding_model_mismatch" });
    const seen = await completeDocument(api.database, { user_id: other, passages });
    const found = await search({ query: "dental treatment" }, other);
    expect(found).toMatchObject({
      status: 200,
      body: { results: [{ document_id: seen.document_id }], other_model_documents: true },
    });
    const within = await search({ query: "dental treatment", document_ids: [seen.document_id] }, other);
    expect(within.body).toMatchObject({ results: [{ document_id: seen.document_id }], other_model_documents: false });
  });

  it("takes questions of any script and of no words", async () => {
    for (const query of ["???", "ab 'c' & (d | !e) \\ :*", "Selbstbehalt für Krankenhäuser 🏥", "自己負担額"]) {
      expect((await search({ query })).status).toBe(200);
    }
  });

  it.each([
    ["query", ""],
    ["query", " \n "],
    ["query", "a".repeat(2_001)],
    ["query", "nul \u0000"],
    ["query", "half a pair \uD800"],
    ["limit", 0],
    ["limit", 11],
    ["limit", 1.5],
    ["threshold", 1.1],
    ["threshold", -1.1],
    ["token_budget", 0],
    ["token_budget", 4_001],
    ["document_ids", []],
    ["document_ids", Array.from({ length: 101 }, () => randomUUID())],
    ["metadata", "text"],
    ["metadata", { note: "nul \u0000" }],
  ])("refuses a %s of %j", async (field, value) => {
    const answer = await search({ query: "deductible", [field]: value });
    expect(answer).toMatchObject({ status: 422, body: { code: "invalid_request" } });
    expect(answer.body["errors"]).toEqual([{ path: field, message: expect.any(String) }]);
  });

  it.each([
    ["a document id that is none", { query: "x", document_ids: ["nope"] }],
    ["a field that it does not know", { query: "x", top_k: 3 }],
    ["no question", {}],
  ])("refuses %s", async (_, body) => {
    expect(await search(body)).toMatchObject({ status: 422, body: { code: "invalid_request" } });
  });
});

describe("a search that costs money", () => {
  it("is counted to its user, and answers 503 budget_exhausted when a budget is used up", async () => {
    const asking = randomUUID();
    const provider = {
      name: "openai",
      usdPerMillionTokens: 1_000_000,
      requestsPerMinute: 100,
      tokensPerMinute: 100_000,
      maxInFlight: 5,
    };
    const local = api.dependencies.embedder;
    const embedder: Embedder = {
      ...local,
      provider,
      embed: async (texts, options) => ({ ...(await local.embed(texts, options)), total_tokens: 3 }),
    };
    const settings = { ...api.dependencies.settings, budgets: { usdPerUserPerDay: 10 } };
    const app = await buildApi({ ...api.dependencies, embedder, settings });
    const call = { method: "POST", path: "/search", user: asking, body: { query: "water" } } as const;
    const statuses = [await send(app, call), await send(app, call), await send(app, call)];
    await app.close();
    expect(statuses.map(({ status }) => status)).toEqual([200, 200, 503]);
    expect(statuses[2]).toMatchObject({
      body: { code: "budget_exhausted" },
      headers: { "retry-after": expect.stringMatching(/^\d+$/) },
    });
    const rows = await api.database.many(
      z.object({ request_count: z.number(), token_count: z.number(), cost_usd: z.number() }),
      `select request_count, token_count, cost_usd::float8 from ${api.database.schema}.spending where user_id = $1`,
      [asking],
    );
    expect(rows).toEqual([{ request_count: 2, token_count: 6, cost_usd: 6 }]);
  });
});

describe("a search whose embedder fails", () => {
  let provider: Server;
  let reply = { status: 500, body: {} as object };
  let url = "";
  beforeAll(async () => {
    provider = createServer((request, response) => {
      request.resume();
      response.writeHead(reply.status, { "content-type": "application/json" }).end(JSON.stringify(reply.body));
    });
    await new Promise<void>((listening) => {
      provider.listen(0, "127.0.0.1", listening);
    });
    url = `http://127.0.0.1:${z.object({ port: z.number() }).parse(provider.address()).port}/v1`;
  });
  afterAll(
    () =>
      new Promise((closed) => {
        provider.close(closed);
        provider.closeAllConnections();
      }),
  );

  it.each([
    [500, {}],
    [401, { error: { message: "bad key sk-secret", code: "invalid_api_key" } }],
    [429, { error: { message: "no money", code: "insufficient_quota" } }],
    [200, { object: "list", data: [], model: "m", usage: { prompt_tokens: 1, total_tokens: 1 } }],
  ])(
    "is a problem of 503 with the embedder's code, never an empty result: provider answers %i",
    async (status, body) => {
      reply = { status, body };
      const embedder = createOpenAiEmbedder({ apiKey: "sk-secret-key", model: "text-embedding-3-small", baseUrl: url });
      const app = await buildApi({ ...api.dependencies, embedder });
      const answer = await send(app, { method: "POST", path: "/search", user, body: { query: "a secret-question" } });
      await app.close();
      expect(answer.headers["retry-after"]).toMatch(/^\d+$/);
      expect(problemOf(answer)).toEqual({
        type: "about:blank",
        title: "Service Unavailable",
        status: 503,
        code: expect.stringMatching(/^embedding_/),
        detail: "The question could not be embedded, so nothing was searched.",
      });
      expect(api.readLog()).not.toMatch(/sk-secret|secret-question/);
    },
  );
});
