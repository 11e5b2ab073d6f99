import { rename, rm, writeFile } from "node:fs/promises";
import { migrate, openPostgres, pauseClaims, resumeClaims } from "@pipeline/db";
import { hasParallelConnections } from "@pipeline/db/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { JWT_SECRET, startDeployment, type TestDeployment, WORKER_MAX_RETRIES } from "./deployment.fixture.ts";
import type { Section } from "./finding.ts";
import { type GatewayFaults, openGateway } from "./gateway.fixture.ts";
import { runValidation, type Validation } from "./run-validation.ts";
import { prepareTokens, type Tokens } from "./tokens.ts";
import { writeReport } from "./write-report.ts";

/** Processes take long to start on a machine that has much to do. */
const PATIENCE_MS = 240_000;

let deployment: TestDeployment;

beforeAll(async () => {
  if (!hasParallelConnections()) return;
  deployment = await startDeployment();
  deployment.startWorker();
  await deployment.failing([]);
}, PATIENCE_MS);

afterAll(() => deployment?.close());

interface Fault {
  name: string;
  sections: readonly Section[];
  /** How long the document is waited for; short where it is not meant to come. */
  documentTimeoutMs?: number;
  /** What the report must say, as the line of a failed check. */
  named: RegExp;
  /** Answers what the deployment is asked by and with, and how to mend it. */
  plant: () => Promise<{ url?: string; tokens?: Partial<Tokens>; mend?: () => Promise<void> }>;
}

const WALK: readonly Section[] = ["Service health", "Job queue", "End-to-end document", "Communication"];

const FAULTS: readonly Fault[] = [
  {
    name: "no worker",
    sections: WALK,
    named: /FAIL \| A worker lives \| no_live_worker/,
    plant: async () => {
      await deployment.stopWorkers();
      await deployment.failing(["workers"]);
      // The next one needs this too, and mends both.
      return {};
    },
  },
  {
    name: "no worker as what keeps the document, and claims nothing of what did not happen",
    sections: WALK,
    named:
      /FAIL \| A worker takes a confirmed upload at once \| no worker took it within 2 s .*\n\| SKIP \| One correlation id/,
    plant: async () => ({}),
  },
  {
    name: "a worker on another schema",
    sections: WALK,
    named:
      /FAIL \| API and worker agree .*wrong_schema: workers live in upload_pipeline_staging, and none in upload_pipeline/,
    plant: async () => {
      const staging = openStaging();
      await migrate(staging);
      await staging.close();
      deployment.startWorker("upload_pipeline_staging");
      await deployment.failing(["workers"]);
      await expect.poll(countStagingWorkers, { timeout: PATIENCE_MS }).toBe(1);
      return { mend: restartWorker };
    },
  },
  {
    name: "a missing table",
    sections: ["Database"],
    named: /FAIL \| Every table is there \| missing in upload_pipeline: architecture_notes/,
    plant: () =>
      alter(
        "alter table architecture_notes rename to notes_away",
        "alter table notes_away rename to architecture_notes",
      ),
  },
  {
    name: "a table open to every user",
    sections: ["Database"],
    named: /FAIL \| Row-level security closes every table \| off for documents/,
    plant: () =>
      alter("alter table documents disable row level security", "alter table documents enable row level security"),
  },
  {
    name: "a policy that shows everybody's text",
    sections: ["Database"],
    named:
      /FAIL \| Its policies are those .*beyond them: policy leak on document_chunks for select to public using \(true\)/,
    plant: () =>
      alter(
        "create policy leak on document_chunks for select to public using (true)",
        "drop policy leak on document_chunks",
      ),
  },
  {
    name: "a table that is granted to clients",
    sections: ["Database"],
    named:
      /FAIL \| Nobody else is granted anything \| grant select on document_chunks to public; grant usage on schema to public/,
    plant: () =>
      alter(
        "grant usage on schema upload_pipeline to public; grant select on document_chunks to public",
        "revoke usage on schema upload_pipeline from public; revoke select on document_chunks from public",
      ),
  },
  {
    name: "privileges that the services lack",
    sections: ["Database"],
    named:
      /FAIL \| The services' roles may do .*missing: grant insert on document_chunks to upload_pipeline_worker; grant insert on documents to upload_pipeline_api/,
    plant: () =>
      alter(
        "revoke insert on document_chunks from upload_pipeline_worker; revoke insert on documents from upload_pipeline_api",
        "grant insert on document_chunks to upload_pipeline_worker; grant insert on documents to upload_pipeline_api",
      ),
  },
  {
    name: "columns that the worker may not write",
    sections: ["Database"],
    named:
      /FAIL \| The services' roles may do .*missing: grant update \(crash_count\) on upload_jobs to upload_pipeline_worker/,
    plant: () =>
      alter(
        "revoke update on upload_jobs from upload_pipeline_worker",
        `grant update (status, state, waiting_for, due_at, turn, fence, lease_session_id, lease_expires_at,
           retry_count, crash_count, last_error, progress, finished_at, updated_at) on upload_jobs to upload_pipeline_worker`,
      ),
  },
  {
    name: "a disabled trigger",
    sections: ["Database"],
    named: /FAIL \| Its indexes, constraints, triggers .*trigger upload_jobs_guard on upload_jobs \(disabled\)/,
    plant: () =>
      alter(
        "alter table upload_jobs disable trigger upload_jobs_guard",
        "alter table upload_jobs enable trigger upload_jobs_guard",
      ),
  },
  {
    name: "missing indexes and a missing primary key",
    sections: ["Database"],
    named:
      /FAIL \| Its indexes, constraints, triggers .*missing: constraint events_pkey on events; missing: index document_chunks_by_user on document_chunks; missing: index upload_jobs_due on upload_jobs/,
    plant: () =>
      alter(
        "drop index upload_jobs_due; drop index document_chunks_by_user; alter table events drop constraint events_pkey",
        `create index upload_jobs_due on upload_jobs (due_at) where due_at is not null;
         create index document_chunks_by_user on document_chunks (user_id, document_id, generation);
         alter table events add primary key (event_id)`,
      ),
  },
  {
    name: "a schema of newer code",
    sections: ["Service health", "Database"],
    named: /FAIL \| The schema is the code's \| schema_newer/,
    plant: () =>
      alter(
        "insert into schema_migrations (version, name, checksum) values (9999, 'later', 'unknown')",
        "delete from schema_migrations where version = 9999",
      ),
  },
  {
    name: "an expired token",
    sections: ["End-to-end document", "Security"],
    named: /FAIL \| A user's token is accepted \| answered 401 unauthorized/,
    plant: async () => ({ tokens: { user: (await tokensOf()).expired } }),
  },
  {
    name: "storage out of reach",
    sections: ["Service health"],
    named: /FAIL \| Every part works \| storage: storage_/,
    plant: async () => {
      const { objectsDirectory: directory } = deployment;
      await rename(directory, `${directory}-away`);
      await writeFile(directory, "");
      await deployment.failing(["storage"]);
      return {
        mend: async () => {
          await rm(directory);
          await rename(`${directory}-away`, directory);
          await deployment.failing([]);
        },
      };
    },
  },
  {
    name: "a paused queue",
    sections: WALK,
    named: /FAIL \| Workers may claim jobs \| queue_paused: .* by operator: planted/,
    plant: async () => {
      await pauseClaims(deployment.database, { paused_by: "operator", reason: "planted" });
      return { mend: async () => void (await resumeClaims(deployment.database)) };
    },
  },
  {
    name: "a paused queue, to who sees the database alone",
    sections: ["Job queue"],
    named: /FAIL \| Workers may claim jobs \| queue_paused: .* by operator: planted/,
    plant: async () => {
      await pauseClaims(deployment.database, { paused_by: "operator", reason: "planted" });
      return { tokens: { service: undefined }, mend: async () => void (await resumeClaims(deployment.database)) };
    },
  },
  {
    name: "a clock that is an hour fast",
    sections: ["Security"],
    named: /FAIL \| Its clock is right \| clock_skew: it is 36\d\d s off/,
    plant: () => before({ onAnswer: (headers) => (headers["date"] = new Date(Date.now() + 3_600_000).toUTCString()) }),
  },
  {
    name: "a gateway that lets every page in",
    sections: ["Security"],
    named: /FAIL \| Pages of unknown origins may not call \| every origin may call/,
    plant: () => before({ onAnswer: (headers) => (headers["access-control-allow-origin"] = "*") }),
  },
  {
    name: "a gateway that lets everybody in",
    sections: ["End-to-end document", "Security"],
    named: /FAIL \| A forged token is refused \| it was let in, with 200/,
    plant: async () => {
      const { user } = await tokensOf();
      return before({ onRequest: (headers) => (headers.authorization = `Bearer ${user ?? ""}`) });
    },
  },
  {
    name: "a database that takes no connections",
    sections: ["Service health", "Database"],
    named: /FAIL \| The database answers \| (database_|probe_timeout)/,
    plant: async () => {
      await allowConnections(false);
      await deployment.failing(["database", "workers"]);
      return {
        mend: async () => {
          await allowConnections(true);
          await deployment.failing([]);
        },
      };
    },
  },
  // The last one: the provider stays as it is.
  {
    name: "an embedding provider that fails",
    sections: ["End-to-end document"],
    documentTimeoutMs: 12_000,
    named:
      /FAIL \| It becomes complete \| after .* embedding_in_progress, retryable, (embedding_unavailable|provider_circuit_open)/,
    plant: async () => {
      deployment.openai.failNext("server_error", { route: "POST /v1/embeddings", times: 1_000 });
      return {};
    },
  },
];

describe.skipIf(!hasParallelConnections())(
  "a validation: needs a server for two processes",
  { timeout: PATIENCE_MS },
  () => {
    it("finds nothing wrong with a sound deployment, and leaves nothing behind", async () => {
      const validation = await validate({ documentTimeoutMs: 60_000 });
      expect(validation.findings.filter(({ verdict }) => verdict === "FAIL")).toEqual([]);
      expect(writeReport(validation)).toContain("Result: **PASS**");
      expect(await deployment.database.run("select from upload_pipeline.documents")).toBe(0);
    });

    it("names a database that is not at its address once, and skips what needs it", async () => {
      const databaseUrl = new URL(deployment.databaseUrl);
      databaseUrl.pathname = "/no_such_database";
      const validation = await validate({ databaseUrl: databaseUrl.toString(), documentTimeoutMs: 60_000 });
      expect(validation.findings.filter(({ verdict }) => verdict === "FAIL")).toMatchObject([
        { title: "The database answers at --database-url", detail: expect.stringContaining("database_missing") },
      ]);
      expect(writeReport(validation)).toMatch(
        /SKIP \| Dead workers, failures \| needs the database, which does not answer/,
      );
    });

    it.each(FAULTS)("names $name", async ({ sections, named, plant, documentTimeoutMs }) => {
      const { url, tokens, mend } = await plant();
      const validation = await validate({ sections, url, tokens, documentTimeoutMs });
      await mend?.();
      expect(writeReport(validation)).toMatch(named);
    });
  },
);

function tokensOf(): Promise<Tokens> {
  const none = {
    token: undefined,
    otherToken: undefined,
    serviceKey: undefined,
    supabaseUrl: undefined,
    metricsToken: undefined,
  };
  return prepareTokens({ ...none, jwtSecret: JWT_SECRET });
}

async function validate(input: {
  sections?: readonly Section[] | undefined;
  url?: string | undefined;
  tokens?: Partial<Tokens> | undefined;
  documentTimeoutMs?: number | undefined;
  databaseUrl?: string;
}): Promise<Validation> {
  const database = openPostgres({
    url: input.databaseUrl ?? deployment.databaseUrl,
    schemaName: "upload_pipeline",
    applicationName: "validate",
    poolSize: 2,
    onIdleError: () => undefined,
  });
  try {
    return await runValidation({
      settings: {
        url: input.url ?? deployment.url,
        environment: "development",
        origin: undefined,
        // How fast the machine is that runs the tests is not the subject.
        maxLatencyMs: 60_000,
        documentTimeoutMs: input.documentTimeoutMs ?? 2_000,
        maxRetries: WORKER_MAX_RETRIES,
      },
      tokens: { ...(await tokensOf()), ...input.tokens },
      database,
      onFinding: () => undefined,
      ...(input.sections === undefined ? {} : { sections: input.sections }),
    });
  } finally {
    await database.close();
  }
}

async function restartWorker(): Promise<void> {
  await deployment.stopWorkers();
  deployment.startWorker();
  await deployment.failing([]);
}

/** Statements on tables of the schema, to plant a fault and to mend it. */
async function alter(planting: string, mending: string) {
  await runInSchema(planting);
  return { mend: () => runInSchema(mending) };
}

function runInSchema(sql: string): Promise<void> {
  return deployment.database.transaction(async (tx) => {
    await tx.run("set local search_path to upload_pipeline");
    await tx.run(sql);
  });
}

async function before(faults: GatewayFaults) {
  const gateway = await openGateway(deployment.url, faults);
  return { url: gateway.url, mend: () => gateway.close() };
}

function openStaging() {
  return openPostgres({
    url: deployment.databaseUrl,
    schemaName: "upload_pipeline_staging",
    applicationName: "validate",
    poolSize: 1,
    onIdleError: () => undefined,
  });
}

function countStagingWorkers(): Promise<number> {
  return deployment.database.run("select from upload_pipeline_staging.worker_sessions where expires_at > now()");
}

async function allowConnections(isAllowed: boolean): Promise<void> {
  const url = new URL(deployment.databaseUrl);
  const name = url.pathname.slice(1);
  url.pathname = "/postgres";
  const server = openPostgres({
    url: url.toString(),
    schemaName: "upload_pipeline",
    applicationName: "validate",
    poolSize: 1,
    onIdleError: () => undefined,
  });
  await server.run(`alter database ${name} with allow_connections ${isAllowed}`);
  if (!isAllowed) await server.run("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", [name]);
  await server.close();
}
