import { randomUUID } from "node:crypto";
import { parseEnvironment, SUPPORTED_MIME_TYPES } from "@pipeline/runtime";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { buildApi } from "../app.ts";
import { OPERATIONS } from "../openapi/operations/index.ts";
import { settingsFrom } from "../settings.ts";
import { openTestApi, send, uploadRequest, type Answer, type TestApi } from "../testing/test-api.ts";

const limitsAnswer = z.object({
  max_bytes: z.number(),
  max_pages: z.number(),
  supported_mime_types: z.array(z.string()),
  upload_link_seconds: z.number(),
  max_filename_chars: z.number(),
  max_metadata_bytes: z.number(),
  max_request_bytes: z.number(),
  max_batch_files: z.number(),
  max_batch_bytes: z.number(),
  max_streams: z.number(),
  max_page_size: z.number(),
  uploads: z.unknown(),
  requests: z.unknown(),
  search: z.object({
    max_query_chars: z.number(),
    max_results: z.number(),
    max_token_budget: z.number(),
    max_document_ids: z.number(),
    default_threshold: z.number(),
  }),
});

const user = randomUUID();
let api: TestApi;
let limits: z.infer<typeof limitsAnswer>;
beforeAll(async () => {
  api = await openTestApi();
  limits = limitsAnswer.parse((await api.call({ path: "/upload/limits", user })).body);
});
afterAll(() => api.close());

function post(path: string, body: unknown): Promise<Answer> {
  return api.call({ method: "POST", path, user, body, headers: { "content-type": "application/json" } });
}
const upload = (overrides: Record<string, unknown>) => post("/upload", uploadRequest(overrides));
const search = (overrides: Record<string, unknown>) => post("/search", { query: "deductible", ...overrides });
const metadataOf = (bytes: number) => ({ note: "a".repeat(bytes - JSON.stringify({ note: "" }).length) });
const ids = (count: number) => Array.from({ length: count }, () => randomUUID());

describe("GET /upload/limits", () => {
  it("answers the published limits", () => {
    expect(limits).toEqual({
      max_bytes: 26_214_400,
      max_pages: 500,
      supported_mime_types: SUPPORTED_MIME_TYPES,
      upload_link_seconds: 7_200,
      max_filename_chars: 255,
      max_metadata_bytes: 4_096,
      max_request_bytes: 65_536,
      max_batch_files: 50,
      max_batch_bytes: 393_216,
      max_streams: 10,
      max_page_size: 100,
      uploads: {
        in_flight: { limit: 1_000, used: 0, remaining: 1_000 },
        per_day: { limit: 5_000, used: 0, remaining: 5_000, resets_at: expect.stringMatching(/T00:00:00.000Z$/) },
      },
      requests: {
        per_user: { limit: 1_000_000, used: 1, remaining: 999_999, resets_at: expect.stringMatching(/:00.\d{3}Z$/) },
        per_address: { limit: 1_000_000, used: 1, remaining: 999_999, resets_at: expect.stringMatching(/:00.\d{3}Z$/) },
      },
      search: {
        max_query_chars: 2_000,
        max_results: 10,
        max_token_budget: 4_000,
        max_document_ids: 100,
        default_threshold: 0.3,
      },
    });
  });

  it("answers what the contract shows, where nothing else is configured", async () => {
    const { requestLimits } = settingsFrom(parseEnvironment({ ENVIRONMENT: "test" }, "local"));
    const app = await buildApi({ ...api.dependencies, settings: { ...api.dependencies.settings, requestLimits } });
    const answer = await send(app, { path: "/upload/limits", user });
    await app.close();
    const shown = OPERATIONS["GET /api/upload-pipeline/upload/limits"]?.answers[200]?.example;
    expect(withoutUse(shown)).toEqual(withoutUse(answer.body));
  });

  it("answers what is configured for search", async () => {
    const settings = { ...api.dependencies.settings, search: { threshold: 0.5, maxChunks: 3, tokenBudget: 70 } };
    const app = await buildApi({ ...api.dependencies, settings });
    const answer = await send(app, { path: "/upload/limits", user });
    const refused = await send(app, { method: "POST", path: "/search", user, body: { query: "x", limit: 4 } });
    await app.close();
    expect(answer.body["search"]).toMatchObject({ max_results: 3, max_token_budget: 70, default_threshold: 0.5 });
    expect(refused.status).toBe(422);
  });

  it("is what is enforced: at each limit a request passes, one above it is refused", async () => {
    const { search: searching } = limits;
    const probes: [string, (value: number) => Promise<Answer>, number, number][] = [
      ["max_bytes", (value) => upload({ bytes_len: value }), limits.max_bytes, 413],
      ["max_filename_chars", (value) => upload({ filename: "a".repeat(value) }), limits.max_filename_chars, 422],
      ["max_metadata_bytes", (value) => upload({ metadata: metadataOf(value) }), limits.max_metadata_bytes, 422],
      ["search metadata", (value) => search({ metadata: metadataOf(value) }), limits.max_metadata_bytes, 422],
      ["max_page_size", (value) => api.call({ path: `/documents?limit=${value}`, user }), limits.max_page_size, 422],
      ["max_query_chars", (value) => search({ query: "a".repeat(value) }), searching.max_query_chars, 422],
      ["max_results", (value) => search({ limit: value }), searching.max_results, 422],
      ["max_token_budget", (value) => search({ token_budget: value }), searching.max_token_budget, 422],
      ["max_document_ids", (value) => search({ document_ids: ids(value) }), searching.max_document_ids, 422],
      ["max_request_bytes", (value) => post("/search", padded(value)), limits.max_request_bytes, 413],
    ];
    for (const [name, probe, limit, refusal] of probes) {
      const [allowed, refused] = [await probe(limit), await probe(limit + 1)];
      expect([name, allowed.status < 300, refused.status]).toEqual([name, true, refusal]);
    }
  });
});

/** The limits alone: what is used and left, and until when, differs from user to user. */
function withoutUse(answer: unknown): unknown {
  const changing = new Set(["used", "remaining", "resets_at"]);
  return JSON.parse(JSON.stringify(answer), (name, value: unknown) => (changing.has(name) ? undefined : value));
}

/** A search of this many bytes, most of them blanks. */
function padded(bytes: number): string {
  const body = JSON.stringify({ query: "deductible" });
  return `${body}${" ".repeat(bytes - body.length)}`;
}
