import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import type { Queryable } from "@pipeline/db";
import { createQueuedJob, hasParallelConnections, openTestDatabase } from "@pipeline/db/testing";
import { expect, it } from "vitest";
import { z } from "zod";

const MAIN = fileURLToPath(new URL("main.ts", import.meta.url));

const ENDS_LOCK = 1;

/** From now on whoever ends a claim waits for an advisory lock. */
async function blockEnds(db: Queryable): Promise<void> {
  await db.run(
    `create function wait_for_test() returns trigger language plpgsql as $$
     begin
       perform pg_advisory_xact_lock(${ENDS_LOCK});
       return new;
     end
     $$`,
  );
  await db.run(
    `create trigger upload_jobs_wait before update on ${db.schema}.upload_jobs for each row
     when (old.state = 'working') execute function wait_for_test()`,
  );
}

async function countWaiting(db: Queryable): Promise<number | undefined> {
  const [row] = await db.many(
    z.object({ count: z.number() }),
    `select count(*)::int as count from pg_stat_activity
     where datname = current_database() and application_name = 'upload-pipeline worker' and wait_event = 'advisory'`,
  );
  return row?.count;
}

function startMain(env: Record<string, string>) {
  const child = spawn(process.execPath, [MAIN], { env, stdio: ["ignore", "pipe", "pipe"] });
  const ended = Promise.all([once(child, "exit"), text(child.stdout), text(child.stderr)]).then(
    ([[code], stdout, stderr]) => ({ code: z.number().nullable().parse(code), stdout, stderr }),
  );
  return { child, ended };
}

it("a broken configuration is told whole, on standard error, before anything else", async () => {
  const { ended } = startMain({ WORKER_CONCURENCY: "4", WORKER_POLL_INTERVAL: "soon", DATABASE_URL: "mysql://x" });
  const { code, stdout, stderr } = await ended;
  expect(code).toBe(1);
  expect(stdout).toBe("");
  for (const name of ["WORKER_CONCURENCY", "WORKER_POLL_INTERVAL", "DATABASE_URL"]) expect(stderr).toContain(name);
});

it("a worker that still waits for its database ends with 0 when it is told to stop", async () => {
  const { child, ended } = startMain({ DATABASE_URL: "postgres://u:p@127.0.0.1:1/nowhere" });
  await new Promise<void>((resolve) => {
    child.stdout.on("data", (chunk) => {
      if (String(chunk).includes("database away at the start")) resolve();
    });
  });
  child.kill("SIGTERM");
  expect(await ended).toMatchObject({ code: 0, stderr: "" });
});

it.skipIf(!hasParallelConnections())(
  "the process works until it is told to stop, and leaves no session behind: needs a server for two processes",
  async () => {
    const test = await openTestDatabase();
    const directory = await mkdtemp(join(tmpdir(), "worker-main-"));
    try {
      const { child, ended } = startMain({ DATABASE_URL: test.url ?? "", DATA_DIR: directory });
      const sessions = () =>
        test.database.many(
          z.object({ ended: z.boolean() }),
          `select ended_at is not null as ended from ${test.database.schema}.worker_sessions`,
        );
      await expect.poll(sessions, { timeout: 30_000, interval: 100 }).toEqual([{ ended: false }]);
      child.kill("SIGTERM");
      const { code, stdout, stderr } = await ended;
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(stdout).toContain('"msg":"closed"');
      expect(await sessions()).toEqual([{ ended: true }]);
    } finally {
      await test.close();
      await rm(directory, { recursive: true });
    }
  },
);

it.skipIf(!hasParallelConnections())(
  "a second signal ends the process at once, whatever it still waits for: needs a server for two processes",
  async () => {
    const test = await openTestDatabase();
    const directory = await mkdtemp(join(tmpdir(), "worker-main-"));
    try {
      await createQueuedJob(test.database, { raw_path: "none" });
      await blockEnds(test.database);
      await test.database.transaction(async (tx) => {
        // Keeps the worker from ending its claim, so that it has a job in hand for as long as this test likes.
        await tx.run("set local idle_in_transaction_session_timeout = 0");
        await tx.run("select pg_advisory_xact_lock($1)", [ENDS_LOCK]);
        const { child, ended } = startMain({ DATABASE_URL: test.url ?? "", DATA_DIR: directory });
        await expect.poll(() => countWaiting(test.database), { timeout: 30_000, interval: 100 }).toBe(1);
        child.kill("SIGTERM");
        child.kill("SIGINT");
        expect(await ended).toMatchObject({ code: 1, stderr: "" });
      });
    } finally {
      await test.close();
      await rm(directory, { recursive: true });
    }
  },
);

it.skipIf(!hasParallelConnections())(
  "a database without the schema ends the process: needs a server for two processes",
  async () => {
    const test = await openTestDatabase();
    const directory = await mkdtemp(join(tmpdir(), "worker-main-"));
    try {
      const { ended } = startMain({ DATABASE_URL: test.url ?? "", DATA_DIR: directory, DATABASE_SCHEMA: "elsewhere" });
      const { code, stdout } = await ended;
      expect(code).toBe(1);
      expect(stdout).toContain("schema_missing");
    } finally {
      await test.close();
      await rm(directory, { recursive: true });
    }
  },
);
