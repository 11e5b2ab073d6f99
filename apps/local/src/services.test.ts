import { createHash } from "node:crypto";
import { diagnose, getSpendingToday, listSpending } from "@pipeline/db";
import { hasParallelConnections } from "@pipeline/db/testing";
import { CREDITS_PER_PAGE, USD_PER_CREDIT } from "@pipeline/llamaparse";
import { createOpenAiEmbedder } from "@pipeline/embedding";
import { embeddingText } from "@pipeline/chunking";
import { afterEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { type Services, startServices } from "./services.fixture.ts";
import { faultyDocumentCount } from "./testing/config.ts";

/** A word that stands in every document and nowhere in the source, so that it must stand in no log either. */
const MARK = "Quagga-Zephyr";
const QUESTION = "which quokka-nimbus deductible applies";
const PAGE_USD = CREDITS_PER_PAGE.cost_effective * USD_PER_CREDIT;

let services: Services | undefined;
afterEach(async () => {
  await services?.close();
  services = undefined;
});

const documentOf = (number: number): string =>
  `# Policy ${number}\n\nThe deductible of policy ${number} is ${number}00 dollars, says ${MARK}.\f` +
  `## Claims\n\nClaims under policy ${number} are due within ${number + 30} days.\n`;

async function waitForAll({ test: { database } }: Services, jobIds: string[], timeoutMs: number): Promise<void> {
  const states = async () => {
    const rows = await database.many(
      z.object({ state: z.string(), count: z.number() }),
      `select state, count(*)::int as count from ${database.schema}.upload_jobs group by state`,
    );
    return Object.fromEntries(rows.map(({ state, count }) => [state, count]));
  };
  await expect.poll(states, { timeout: timeoutMs, interval: 500 }).toEqual({ done: jobIds.length });
}

/** Every chunk with its vector, and what the embedder was sent for it. */
async function readChunks({ test: { database } }: Services) {
  const rows = await database.many(
    z.object({
      title: z.string().nullable(),
      section_path: z.array(z.string()),
      text: z.string(),
      embedding: z.string(),
      page_start: z.number(),
      page_end: z.number(),
    }),
    `select d.title, c.section_path, c.text, c.embedding::text as embedding, c.page_start, c.page_end
     from ${database.schema}.document_chunks c join ${database.schema}.documents d using (document_id)
     where c.generation = d.live_generation order by c.document_id, c.ordinal`,
  );
  return rows.map((row) => ({
    text: row.text,
    page_start: row.page_start,
    page_end: row.page_end,
    sent: embeddingText(row),
    vector: z.array(z.number()).parse(JSON.parse(row.embedding)),
  }));
}

async function countErrors({ test: { database } }: Services) {
  const diagnoses = await diagnose(database);
  return diagnoses.filter(({ severity, total }) => severity === "error" && total > 0);
}

/** Whatever must not be in a log, by what it is. */
async function listSecrets({ test: { database }, variables, token }: Services): Promise<[string, string][]> {
  const webhooks = await database.many(
    z.object({ webhook_secret: z.string() }),
    `select webhook_secret from ${database.schema}.provider_jobs`,
  );
  return [
    ...[
      "LLAMAPARSE_API_KEY",
      "OPENAI_API_KEY",
      "SUPABASE_JWT_SECRET",
      "SUPABASE_SERVICE_ROLE_KEY",
      "SUPABASE_ANON_KEY",
    ].map((name): [string, string] => [name, variables[name] ?? ""]),
    ["password of the database", `:${new URL(variables["DATABASE_URL"] ?? "").password}@`],
    ["token of the user", token],
    ["signature of a token or link", "eyJhbGciOi"],
    ["signed link", "?token="],
    ["text of a document", MARK],
    ["text of a question", "quokka-nimbus"],
    ...webhooks.map((row): [string, string] => ["webhook secret", row.webhook_secret]),
  ];
}

async function expectSilence(running: Services): Promise<void> {
  const logs = [running.api, ...running.workers].map((command) => command.output());
  for (const log of logs) expect(log.length).toBeGreaterThan(1_000);
  const secrets = await listSecrets(running);
  const found = secrets.filter(([, secret]) => secret === "" || logs.some((log) => log.includes(secret)));
  expect(found.map(([what]) => what)).toEqual([]);
}

describe.skipIf(!hasParallelConnections())("API, workers and all services in separate processes: need a server", () => {
  test("a document is complete with the service's own vectors, its pages and what it cost", async () => {
    services = await startServices([], 1);
    const clauses = Array.from({ length: 60 }, (_, nth) => `Clause ${nth}: water damage in room ${nth} is covered.`);
    const { job_id } = await services.upload("policy.md", `${documentOf(7)}\f## Clauses\n\n${clauses.join(" ")}\n`);
    await waitForAll(services, [job_id], 60_000);
    expect(await services.client.getJob(job_id)).toMatchObject({
      status: "complete",
      progress: { percent: 100, pages_done: 3, pages_total: 3 },
    });

    const chunks = await readChunks(services);
    expect(chunks.length).toBeGreaterThan(1);
    expect([chunks.at(0)?.page_start, chunks.at(-1)?.page_end]).toEqual([1, 3]);
    const [apiKey = "", baseUrl = ""] = [services.variables["OPENAI_API_KEY"], services.variables["OPENAI_BASE_URL"]];
    const embedder = createOpenAiEmbedder({ apiKey, baseUrl, model: "text-embedding-3-small" });
    const before = await services.openai();
    const { vectors } = await embedder.embed(
      chunks.map(({ sent }) => sent),
      {},
    );
    for (const [index, { vector }] of chunks.entries()) {
      expect(vector).toHaveLength(1_536);
      expect(cosine(vector, vectors[index] ?? [])).toBeCloseTo(1, 5);
    }

    const llamaparse = await services.llamaparse();
    expect(llamaparse).toMatchObject({ billed_credits: 9, files: [{ job_count: 1, billed_count: 1 }] });
    const spending = await listSpending(services.test.database, { days: 1 });
    expect(spending).toMatchObject([
      { provider: "llamaparse", model: "cost_effective", page_count: 3, request_count: 1 },
      { provider: "openai", model: "text-embedding-3-small", token_count: before.billed_tokens, request_count: 1 },
    ]);
    expect(spending[0]?.cost_usd).toBeCloseTo(3 * PAGE_USD, 10);
    expect(spending[1]?.cost_usd).toBeCloseTo((before.billed_tokens * 0.02) / 1_000_000, 10);
    const [found] = await services.client.search("What is the deductible of policy 7?");
    expect(found).toMatchObject({ filename: "policy.md", page_start: 1 });
    expect(await countErrors(services)).toEqual([]);
  }, 180_000);

  const count = faultyDocumentCount();

  test(`${count} documents are all complete, paid once and told of in no log, while a fifth of all calls to every service fail`, async () => {
    const rates = ["--server-errors", "--rate-limits", "--half-bodies", "--timeouts"].flatMap((flag) => [flag, "0.05"]);
    services = await startServices([...rates, "--hang-ms", "100", "--seed", "7"]);
    const running = services;
    const texts = Array.from({ length: count }, (_, index) => documentOf(index + 1));
    const jobIds: string[] = [];
    const uploader = async (from: number): Promise<void> => {
      for (let index = from; index < count; index += 4) {
        const { job_id } = await running.upload(`policy-${index}.md`, texts[index] ?? "");
        jobIds.push(job_id);
      }
    };
    await Promise.all([0, 1, 2, 3].map(uploader));
    await waitForAll(running, jobIds, 500_000);

    const [llamaparse, openai] = [await running.llamaparse(), await running.openai()];
    const faults = [llamaparse, openai].flatMap((provider) => Object.values(provider.faults));
    expect(faults.reduce((sum, times) => sum + times, 0)).toBeGreaterThan(count / 10);
    expect(llamaparse.files.map((file) => file.sha256).toSorted()).toEqual(
      texts.map((text) => createHash("sha256").update(text).digest("hex")).toSorted(),
    );
    expect(llamaparse.files.filter(({ job_count, billed_count }) => job_count !== 1 || billed_count !== 1)).toEqual([]);
    expect([llamaparse.paid_again_count, openai.paid_again_count]).toEqual([0, 0]);

    const chunks = await readChunks(running);
    expect(chunks).toHaveLength(count);
    expect(new Set(chunks.map(({ text }) => text)).size).toBe(count);
    const lost = openai.inputs.reduce((sum, input) => sum + input.tokens * input.lost_count, 0);
    const spending = await listSpending(running.test.database, { days: 1 });
    expect(spending).toMatchObject([
      { provider: "llamaparse", request_count: count, page_count: 2 * count, lost_request_count: 0 },
      { provider: "openai", token_count: openai.billed_tokens - lost },
    ]);
    expect(spending[0]?.cost_usd).toBeCloseTo(llamaparse.billed_credits * USD_PER_CREDIT, 8);
    expect(await getSpendingToday(running.test.database)).toMatchObject({ reserved_usd: 0 });
    expect(await countErrors(running)).toEqual([]);

    await searchPersistently(running);
    await expectSilence(running);
    process.stdout.write(
      `${count} documents; faults: LlamaParse ${JSON.stringify(llamaparse.faults)}, OpenAI ${JSON.stringify(openai.faults)}\n`,
    );
  }, 600_000);
});

/** Until an answer comes, whatever is found. */
async function searchPersistently({ client }: Services): Promise<void> {
  const isAnswered = (): Promise<boolean> =>
    client.search(QUESTION).then(
      () => true,
      () => false,
    );
  await expect.poll(isAnswered, { timeout: 60_000 }).toBe(true);
}

function cosine(left: readonly number[], right: readonly number[]): number {
  return dot(left, right) / Math.sqrt(dot(left, left) * dot(right, right));
}

function dot(left: readonly number[], right: readonly number[]): number {
  return left.reduce((sum, value, index) => sum + value * (right[index] ?? Number.NaN), 0);
}
