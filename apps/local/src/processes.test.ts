import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { STATUSES } from "@pipeline/db";
import { findFreePort, hasParallelConnections, openTestDatabase, type TestDatabase } from "@pipeline/db/testing";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { createClient, type Client } from "./client.ts";
import { killStarted, startCommand, type Command } from "./spawn.fixture.ts";

describe.skipIf(!hasParallelConnections())("separate processes: need a server", () => {
  let directory: string;
  let test_database: TestDatabase;
  let env: Record<string, string>;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "processes-test-"));
    test_database = await openTestDatabase();
    env = {
      DATABASE_URL: test_database.url ?? "",
      DATA_DIR: join(directory, "data"),
      SERVICE_PORT: String(await findFreePort()),
    };
  });

  afterEach(async () => {
    killStarted();
    await test_database.close();
    await rm(directory, { recursive: true });
  });

  const startWorker = async (): Promise<Command> => {
    const worker = startCommand("apps/worker/src/main.ts", { env });
    await worker.printed(/worker started/);
    return worker;
  };

  const startApi = async (): Promise<Client> => {
    const api = startCommand("apps/api/src/main.ts", { env });
    await api.printed(/listening/);
    const token = startCommand("apps/api/src/token.ts", { env });
    const url = `http://127.0.0.1:${env["SERVICE_PORT"] ?? ""}`;
    return createClient({ url, token: await token.printed(/^(eyJ\S+)$/m) });
  };

  const uploadMany = async (client: Client, count: number): Promise<string[]> => {
    const numbers = Array.from({ length: count }, (_, index) => index);
    return Promise.all(
      numbers.map(async (index) => {
        const path = join(directory, `letter-${index}.txt`);
        await writeFile(path, `Letter number ${index}.\n\nYour contract ${index * 7} was renewed for a year.\n`);
        return (await client.upload(path)).job_id;
      }),
    );
  };

  const countDone = async (): Promise<number> => {
    const [row] = await test_database.database.many(
      z.object({ done: z.number() }),
      `select count(*)::int as done from ${test_database.database.schema}.upload_jobs where state = 'done'`,
    );
    return row?.done ?? 0;
  };

  const heldBy = async (worker: Command): Promise<number> => {
    const [row] = await test_database.database.many(
      z.object({ held: z.number() }),
      `select count(*)::int as held from ${test_database.database.schema}.upload_jobs j
       join ${test_database.database.schema}.worker_sessions s on s.session_id = j.lease_session_id
       where j.state = 'working' and s.pid = $1`,
      [worker.child.pid ?? 0],
    );
    return row?.held ?? 0;
  };

  /** How often each status was reached, over all jobs. */
  const countStatuses = async (): Promise<Record<string, number>> => {
    const rows = await test_database.database.many(
      z.object({ status: z.string(), count: z.number() }),
      `select status, count(*)::int as count from ${test_database.database.schema}.events
       where type in ('status', 'created') group by status`,
    );
    return Object.fromEntries(rows.map((row) => [row.status, row.count]));
  };

  test("two workers share 200 documents, each processed once and all complete", async () => {
    const client = await startApi();
    const workers = await Promise.all([startWorker(), startWorker()]);
    await uploadMany(client, 200);
    await expect.poll(countDone, { timeout: 240_000, interval: 200 }).toBe(200);
    const shares = () => workers.map((worker) => worker.output().match(/"outcome":"completed"/g)?.length ?? 0);
    // The log comes a moment behind the database.
    await expect.poll(() => shares().reduce((sum, share) => sum + share), { timeout: 30_000 }).toBe(200);
    expect(Math.min(...shares())).toBeGreaterThan(0);
    expect(await countStatuses()).toEqual(allOnce(200));
    const claimers = await test_database.database.many(
      z.object({ chunks: z.number(), documents: z.number() }),
      `select count(*)::int as chunks, count(distinct document_id)::int as documents
       from ${test_database.database.schema}.document_chunks where embedding is not null`,
    );
    expect(claimers).toEqual([{ chunks: 200, documents: 200 }]);
  }, 300_000);

  test("a worker killed in the middle loses nothing: all documents still become complete, each step once", async () => {
    const client = await startApi();
    const victim = await startWorker();
    await startWorker();
    await uploadMany(client, 60);
    await expect.poll(countDone, { timeout: 60_000, interval: 20 }).toBeGreaterThan(5);
    // Stopped first, so that what it holds is there to be counted before it dies.
    victim.child.kill("SIGSTOP");
    await expect.poll(() => heldBy(victim), { timeout: 5_000 }).toBeGreaterThan(0);
    victim.child.kill("SIGKILL");
    expect(await countDone()).toBeLessThan(60);
    await expect.poll(countDone, { timeout: 160_000, interval: 200 }).toBe(60);
    expect(await countStatuses()).toEqual(allOnce(60));
  }, 240_000);
});

function allOnce(count: number): Record<string, number> {
  return Object.fromEntries(STATUSES.map((status) => [status, count]));
}

test.each(["api", "worker"])("the %s has a help, and takes no flag that does nothing", async (app) => {
  const help = startCommand(`apps/${app}/src/main.ts`, { args: ["--help"] });
  expect(await help.ended).toBe(0);
  expect(help.output()).toMatch(new RegExp(`^Usage: ${app}\\n`));
  const flag = startCommand(`apps/${app}/src/main.ts`, { args: ["--foo"] });
  expect(await flag.ended).toBe(1);
  expect(flag.output()).toMatch(/^error: Unknown option '--foo'/);
});

test.each(["api", "worker"])("a broken configuration of the %s is told whole before anything listens", async (app) => {
  const env = {
    ENVIRONMENT: "staging",
    DATABASE_URL: "postgres//nowhere",
    OPENAI_API_KEY: "your-openai-key",
  };
  const command = startCommand(`apps/${app}/src/main.ts`, { env });
  expect(await command.ended).toBe(1);
  for (const fault of [
    /DATABASE_URL is not/,
    /OPENAI_API_KEY still holds a placeholder/,
    /SUPABASE_URL is missing: the local disk store is refused here/,
    /SUPABASE_SERVICE_ROLE_KEY is missing/,
  ]) {
    expect(command.output()).toMatch(fault);
  }
});
