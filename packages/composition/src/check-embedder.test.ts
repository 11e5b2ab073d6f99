import { once } from "node:events";
import { createServer } from "node:http";
import { type OpenAi, startOpenAi } from "@pipeline/mocks";
import { parseEnvironment } from "@pipeline/runtime";
import { afterEach, beforeEach, expect, test } from "vitest";
import { z } from "zod";
import { createEmbedderCheck } from "./check-embedder.ts";

let openai: OpenAi;
beforeEach(async () => {
  openai = await startOpenAi();
});
afterEach(() => openai.close());

const MODELS = "GET /v1/models";

async function check(variables: Record<string, string> = {}): Promise<void> {
  const configured = { OPENAI_API_KEY: "sk-good-0123456789", OPENAI_BASE_URL: openai.baseUrl, ...variables };
  await createEmbedderCheck(parseEnvironment(configured, "local"))?.();
}

test("the local embedder needs no check", () => {
  expect(createEmbedderCheck(parseEnvironment({}, "local"))).toBeUndefined();
});

test("a provider that lists the model serves us, and bills nothing", async () => {
  await check();
  expect(openai.stats()).toMatchObject({ inputs: {} });
});

test("a key, a model and an address that are wrong are told apart, without the key", async () => {
  const faults = [
    [{ OPENAI_API_KEY: "wrong-0123456789" }, "permanent", "embedding_unauthorized"],
    [{ RAG_EMBEDDING_MODEL: "text-embedding-9" }, "permanent", "embedding_model_not_found"],
    [{ OPENAI_BASE_URL: "http://127.0.0.1:1/v1" }, "transient", "embedding_unavailable"],
  ] as const;
  for (const [variables, kind, code] of faults) {
    const fault = await check(variables).catch((error: unknown) => error);
    expect(fault).toMatchObject({ kind, code, message: expect.not.stringContaining("0123456789") });
  }
});

test.each([
  [403, "You are not allowed to list models."],
  [401, "You have insufficient permissions for this operation. Missing scopes: api.model.read."],
  [404, "Not Found"],
])("a key or a server that lists no models, and says so with %s, is not doubted", async (status, message) => {
  const server = createServer((_, response) => response.writeHead(status).end(JSON.stringify({ error: { message } })));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = z.object({ port: z.number() }).parse(server.address());
  await expect(check({ OPENAI_BASE_URL: `http://127.0.0.1:${port}/v1` })).resolves.toBeUndefined();
  server.close();
});

test.each([
  ["rate_limited", "rate_limited", "embedding_rate_limited"],
  ["server_error", "transient", "embedding_unavailable"],
  ["half_body", "transient", "embedding_unavailable"],
] as const)("%s passes", async (fault, kind, code) => {
  openai.failNext(fault, { route: MODELS, times: 1 });
  await expect(check()).rejects.toMatchObject({ kind, code });
  await expect(check()).resolves.toBeUndefined();
});
