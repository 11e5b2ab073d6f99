import type { LlamaParseSetup } from "@pipeline/composition";
import { type Database, listEvents, type RegisteredUpload } from "@pipeline/db";
import { readJob } from "@pipeline/db/testing";
import { createLlamaParseClient, type LlamaParseClient } from "@pipeline/llamaparse";
import { type LlamaParse, type LlamaParseOptions, startLlamaParse } from "@pipeline/mocks";
import { z } from "zod";
import type { Worker } from "../../worker.ts";
import { type BenchOverrides, makeDue, openWorkerBench, type WorkerBench, workThrough } from "../../worker.fixture.ts";
import { createLlamaParseParser } from "./llamaparse-parser.ts";

export const KEY = "llx-key-of-the-tests";

/** Workers whose parser is LlamaParse, played by an emulator of the test's own. */
export interface LlamaParseBench extends Omit<WorkerBench, "openWorker"> {
  openWorker(setup?: Partial<LlamaParseSetup>, overrides?: BenchOverrides): Worker;
  /** Starts another emulator; later workers have their documents read there. */
  start(options?: LlamaParseOptions): Promise<LlamaParse>;
  /** Each fault of a call reaches the worker, as one does that outlasts the client's repetitions. */
  createClient(options?: { apiKey?: string; baseUrl?: string; callTimeoutMs?: number }): LlamaParseClient;
}

export async function openLlamaParseBench(): Promise<LlamaParseBench> {
  const bench = await openWorkerBench();
  const emulators: LlamaParse[] = [];
  const clients: LlamaParseClient[] = [];

  const createClient: LlamaParseBench["createClient"] = ({ apiKey = KEY, baseUrl, ...options } = {}) => {
    const url = baseUrl ?? emulators.at(-1)?.url ?? "";
    const settings = { apiKey, baseUrl: url, tier: "cost_effective", version: "latest", mostAsks: 1 } as const;
    const client = createLlamaParseClient({ ...settings, ...options });
    clients.push(client);
    return client;
  };
  const closeEmulators = async (): Promise<void> => {
    await Promise.all(clients.splice(0).map((client) => client.close()));
    await Promise.all(emulators.splice(0).map((emulator) => emulator.close()));
  };
  return {
    ...bench,
    createClient,
    start: async (options) => {
      const emulator = await startLlamaParse({ backoffMs: [1, 1], ...options });
      emulators.push(emulator);
      return emulator;
    },
    openWorker: (setup, overrides) => {
      const client = setup?.client ?? createClient();
      const parser = createLlamaParseParser({ tier: "cost_effective", version: "latest", ...setup, client });
      return bench.openWorker({ parser, ...overrides });
    },
    clear: async () => {
      await bench.clear();
      await bench.database.run(`delete from ${bench.database.schema}.provider_jobs`);
      await forgetFaults(bench.database);
      await closeEmulators();
    },
    close: async () => {
      await closeEmulators();
      await bench.close();
    },
  };
}

interface FinishedJob {
  job_id: string;
  worker: Worker;
  emulator?: LlamaParse;
  rounds?: number;
  /** The provider answers for other documents meanwhile, so that its faults are this one's alone. */
  areOthersServed?: boolean;
}

/** Lets every time that the job waits for come, until it is at its end or has been looked at so often. */
export async function finishJob(bench: Pick<LlamaParseBench, "database">, job: FinishedJob): Promise<void> {
  const { job_id, worker, emulator, rounds = 30, areOthersServed = false } = job;
  for (let round = 0; round < rounds; round += 1) {
    await workThrough(worker);
    const { state } = await readJob(bench.database, job_id);
    if (state !== "waiting" && state !== "retryable") return;
    await emulator?.settled();
    await settleAttempts(bench.database);
    await (areOthersServed ? forgetFaults(bench.database) : endOpenTime(bench.database));
    await makeDue(bench.database, job_id);
  }
}

/** Lets the time come at which one request tries whether the provider works again. */
export async function endOpenTime(database: Database): Promise<void> {
  await database.run(`update ${database.schema}.provider_circuits set open_until = now() where opened_at is not null`);
}

/** As if the provider had answered another document. */
export async function forgetFaults(database: Database): Promise<void> {
  await database.run(`delete from ${database.schema}.provider_circuits`);
}

/** What was sent before now has had its time to become a job, and jobs that are missed their time to be found. */
export async function settleAttempts(database: Database): Promise<void> {
  await passTime(database, { seconds: 60 });
  await database.run(`update ${database.schema}.provider_jobs set settles_at = now() where settles_at > now()`);
}

/** As if what was done with submissions had been done so much earlier. */
export async function passTime(database: Database, { seconds }: { seconds: number }): Promise<void> {
  await database.run(
    `update ${database.schema}.provider_jobs
     set attempted_at = attempted_at - $1::float8 * interval '1 s', settles_at = settles_at - $1::float8 * interval '1 s',
       missed_at = missed_at - $1::float8 * interval '1 s'`,
    [seconds],
  );
}

/** A PDF of so many empty pages, some 40 bytes each, and of as many bytes more as there is filling. */
export function pdfOf(pages: number, filling = ""): string {
  const ids = Array.from({ length: pages }, (_, index) => index + 3);
  return [
    "%PDF-1.7",
    "1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj",
    `2 0 obj<</Type/Pages/MediaBox[0 0 612 792]/Count ${pages}/Kids[${ids.map((id) => `${id} 0 R`).join(" ")}]>>endobj`,
    ...ids.map((id) => `${id} 0 obj<</Type/Page/Parent 2 0 R>>endobj`),
    `% ${filling}`,
    `trailer<</Size ${pages + 3}/Root 1 0 R>>`,
    "%%EOF",
  ].join("\n");
}

export const PDF = { filename: "policy.pdf", mime: "application/pdf" };

const providerJobRow = z.object({
  submission_id: z.string(),
  provider_job_id: z.string().nullable(),
  webhook_secret: z.string(),
  outcome: z.string().nullable(),
  code: z.string().nullable(),
  page_count: z.number().nullable(),
  credits: z.number().nullable(),
  is_credits_estimate: z.boolean().nullable(),
  is_withdrawn: z.boolean(),
  is_cancelled: z.boolean(),
});

/** The job's submissions, oldest first. */
export function readSubmissions(database: Database, job_id: string) {
  return database.many(
    providerJobRow,
    `select submission_id, provider_job_id, webhook_secret, outcome, code, page_count, credits, is_credits_estimate,
       cancel_due_at is not null as is_withdrawn, cancelled_at is not null as is_cancelled
     from ${database.schema}.provider_jobs where job_id = $1 order by created_at, submission_id`,
    [job_id],
  );
}

/** What the event of `parsed` says. */
export async function readParsedDetail(database: Database, { job }: RegisteredUpload) {
  const events = await listEvents(database, { ...job, after: 0, limit: 1_000 });
  return events.find((event) => event.type === "status" && event.status === "parsed")?.detail ?? {};
}
