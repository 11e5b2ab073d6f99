import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { getQueueControl, listenForWork } from "@pipeline/db";
import {
  claimOne,
  createCompleteDocument,
  createQueuedJob,
  createUpload,
  hasParallelConnections,
  insertJobInState,
  openTestDatabase,
  readHistory,
  readJob,
  vectorOf,
  type TestDatabase,
} from "@pipeline/db/testing";
import { COMPILE_CACHE } from "@pipeline/runtime";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";

const MAIN = fileURLToPath(new URL("main.ts", import.meta.url));

async function runJobs(args: string[], env: Record<string, string>) {
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: { NODE_COMPILE_CACHE: COMPILE_CACHE, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [[code], stdout, stderr] = await Promise.all([once(child, "exit"), text(child.stdout), text(child.stderr)]);
  return { code: z.number().nullable().parse(code), stdout, stderr };
}

const NOWHERE = { DATABASE_URL: "postgresql://postgres:secret@127.0.0.1:1/none" };

test("the help names every command", async () => {
  const { code, stdout } = await runJobs(["--help"], {});
  const commands = [...stdout.matchAll(/^ {2}([a-z]+) \[options\]/gm)].map((match) => match[1]);
  expect({ code, commands }).toEqual({
    code: 0,
    commands:
      "ls show events workers stats retry redrive reprocess cancel pause resume prune reconcile spending alerts".split(
        " ",
      ),
  });
});

test.each([
  ["a configuration without a database", ["stats"], {}, "DATABASE_URL is missing"],
  ["a state that there is not", ["ls", "--state", "lost"], NOWHERE, "Allowed choices are queued, working"],
  ["a redrive of whatever there is", ["redrive"], NOWHERE, "say which ones, or --all"],
])("%s is told on standard error, and exits with 1", async (_what, args, env, message) => {
  const { code, stdout, stderr } = await runJobs(args, env);
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr).toContain(message);
});

test("with --json a failure is JSON too", async () => {
  const { code, stdout, stderr } = await runJobs(["stats", "--json"], NOWHERE);
  expect({ code, stdout, error: JSON.parse(stderr) }).toEqual({
    code: 1,
    stdout: "",
    error: { error: { code: "database_unavailable", message: "The database cannot be reached." } },
  });
});

test.each([
  ["an option that there is not", ["ls", "--everything", "--json"], "unknown option '--everything'"],
  ["a command that is not named", ["--json"], "unknown option '--json'"],
  ["a state that there is not", ["ls", "--json", "--state", "lost"], "Allowed choices are queued, working"],
  ["a job that is not named", ["show", "--json"], "missing required argument 'job'"],
  ["a redrive of whatever there is", ["redrive", "--json"], "say which ones, or --all"],
  ["a pause whose reason is an option", ["pause", "--reason", "--json"], "a text is needed, not another option"],
])("with --json %s is JSON too", async (_what, args, message) => {
  const { code, stdout, stderr } = await runJobs(args, NOWHERE);
  expect({ code, stdout, error: JSON.parse(stderr) }).toEqual({
    code: 1,
    stdout: "",
    error: { error: { code: "usage", message: expect.stringContaining(message) } },
  });
  expect(stderr).not.toContain('"error: ');
});

const jobAnswer = z.object({ job: z.looseObject({ job_id: z.string(), state: z.string(), status: z.string() }) });
const listAnswer = z.object({ jobs: z.array(z.looseObject({ job_id: z.string() })), next: z.string().nullable() });

describe.skipIf(!hasParallelConnections())("on a server, which two processes can share", () => {
  let opened: TestDatabase;
  beforeAll(async () => {
    opened = await openTestDatabase();
  });
  afterAll(() => opened.close());
  beforeEach(async () => {
    for (const table of ["documents", "events", "worker_sessions"]) {
      await opened.database.run(`delete from upload_pipeline.${table}`);
    }
  });

  const run = (...args: string[]) => runJobs(args, { DATABASE_URL: opened.url ?? "" });
  const answer = async (...args: string[]): Promise<unknown> => {
    const { code, stdout, stderr } = await run(...args, "--json");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    return JSON.parse(stdout);
  };
  const told = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await run(...args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    return stdout;
  };

  test("jobs are listed by what is asked, page by page, and shown by the start of their id", async () => {
    const user_id = randomUUID();
    const failed = await insertJobInState(opened.database, { state: "deadletter", status: "parsing", user_id });
    const { job } = await createUpload(opened.database, { filename: "evil\u001B[2J\u202Ename.txt" });

    const first = listAnswer.parse(await answer("ls", "--limit", "1"));
    expect(first).toMatchObject({ jobs: [{ job_id: job.job_id }], next: job.job_id });
    const second = listAnswer.parse(await answer("ls", "--limit", "1", "--after", job.job_id.slice(0, 10)));
    expect(second).toMatchObject({ jobs: [{ job_id: failed, filename: "letter.txt", user_id }] });
    const filter = ["--state", "deadletter", "--status", "parsing", "--user", user_id.toUpperCase(), "--code", "test"];
    const found = listAnswer.parse(await answer("ls", ...filter));
    expect(found.jobs.map((row) => row.job_id)).toEqual([failed]);
    const table = await told("ls");
    expect(table).toMatch(/^JOB +STATE +STATUS +DONE/);
    expect(table).toMatch(new RegExp(`^${failed.slice(0, 8)} +deadletter +parsing +5 % .* test +letter.txt$`, "m"));
    expect(table).toContain("evil\uFFFD[2J\uFFFDname.txt");

    const shown = await told("show", failed.slice(0, 9));
    expect(shown).toMatch(new RegExp(`^job +${failed}$`, "m"));
    expect(shown).toMatch(/^last error +test in verify, transient: A test\.$/m);
  });

  test("a job's events are listed, oldest first", async () => {
    const { job } = await createQueuedJob(opened.database);
    expect(await answer("events", job.job_id)).toMatchObject({
      events: [{ type: "created" }, { type: "upload_confirmed", correlation_id: job.correlation_id }],
    });
    expect(await told("events", job.job_id)).toMatch(/ago +upload_confirmed +uploaded +queued +0 +- /);
  });

  test("a job is cancelled and retried, and each refusal has its code", async () => {
    const { job } = await createQueuedJob(opened.database);
    await claimOne(opened.database);
    expect(await told("cancel", job.job_id.slice(0, 8))).toBe(`Job ${job.job_id} is cancelled at uploaded.\n`);
    expect(await run("cancel", job.job_id)).toMatchObject({
      code: 1,
      stdout: "",
      stderr: expect.stringMatching(/^job_not_cancellable: /),
    });
    const retried = jobAnswer.extend({ correlation_id: z.string() }).parse(await answer("retry", job.job_id));
    expect(retried.job).toMatchObject({ job_id: job.job_id, state: "queued" });
    expect(await run("retry", job.job_id)).toMatchObject({
      code: 1,
      stdout: "",
      stderr: expect.stringMatching(/^job_not_retryable: /),
    });
    expect(await run("retry", randomUUID())).toMatchObject({
      code: 1,
      stderr: "job_not_found: There is no such job.\n",
    });
    expect(await readHistory(opened.database, job.job_id)).toEqual([
      "created:uploaded",
      "upload_confirmed:uploaded",
      "cancelled:uploaded",
      "redriven:uploaded",
    ]);
    expect(await answer("events", job.job_id)).toMatchObject({
      events: [{}, {}, {}, { type: "redriven", correlation_id: retried.correlation_id }],
    });
  });

  test("dead letters are redriven, and the workers are woken", async () => {
    const ids: string[] = [];
    for (let index = 0; index < 3; index++) {
      ids.push(await insertJobInState(opened.database, { state: "deadletter", status: "parsing" }));
    }
    let wakeUps = 0;
    const onWork = (): void => void (wakeUps += 1);
    const stop = await listenForWork(opened.database, { onWork, onLost: () => undefined });
    const before = wakeUps;
    expect(await answer("redrive", "--code", "test", "--limit", "2")).toMatchObject({ job_ids: ids.slice(0, 2) });
    await expect.poll(() => wakeUps, { timeout: 30_000 }).toBeGreaterThan(before);
    await stop();
    const options = ["--stage", "verify", "--before", "2999-01-01"];
    expect(await told("redrive", ...options)).toBe(`${ids[2]}\n1 dead letters queued again.\n`);
    expect(await readJob(opened.database, ids[2] ?? "")).toMatchObject({ state: "queued" });
  });

  test("a document is reprocessed from a stage or from a status", async () => {
    const passages = [{ text: "text", vector: vectorOf(1) }];
    const { document_id } = await createCompleteDocument(opened.database, { passages });
    const made = jobAnswer.parse(await answer("reprocess", document_id.slice(0, 8), "--from", "chunk"));
    expect(made.job).toMatchObject({ document_id, state: "queued", status: "chunking" });
    const refused = await run("reprocess", document_id, "--from", "parsing");
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/^job_unfinished: /) });
  });

  test("claiming is paused and resumed", async () => {
    const paused = await told("pause", "--reason", "provider down", "--by", "ana");
    expect(paused).toMatch(/^Claiming is paused since \d+s ago by ana: provider down\.\n$/);
    expect(await getQueueControl(opened.database)).toMatchObject({ paused_by: "ana", reason: "provider down" });
    expect(await answer("stats")).toMatchObject({ control: { paused_by: "ana", reason: "provider down" } });
    expect(await told("resume")).toBe("Claiming is not paused.\n");
  });

  test("jobs are counted and workers listed", async () => {
    await createQueuedJob(opened.database);
    await claimOne(opened.database);
    const stats = await told("stats");
    expect(stats).toMatch(/^working +1 +\d+s +\d+s$/m);
    expect(stats).toMatch(/^uploaded +1 +\d+s +\d+s$/m);
    expect(stats).toContain("0 due, 1 live workers. Claiming is not paused.");
    expect(await told("workers")).toMatch(/ test +localhost +\d+ +live +1 +\d+s ago +\d+s ago$/m);
  });

  test("what is left of jobs that ended long ago is deleted", async () => {
    const passages = [{ text: "text", vector: vectorOf(1) }];
    const { job_id } = await createCompleteDocument(opened.database, { passages });
    await opened.database.run("alter table upload_pipeline.upload_jobs disable trigger upload_jobs_guard");
    await opened.database.run("update upload_pipeline.upload_jobs set finished_at = now() - interval '13 hours'");
    await opened.database.run("alter table upload_pipeline.upload_jobs enable trigger upload_jobs_guard");
    expect(await told("prune", "--older-than", "12h")).toBe("Deleted 10 events, 0 jobs, 0 sessions.\n");
    expect(await readHistory(opened.database, job_id)).toEqual(["status:complete"]);
  });

  test("all sessions of workers long gone are deleted, however few jobs there are", async () => {
    await opened.database.run(
      `insert into upload_pipeline.worker_sessions (worker_name, hostname, pid, started_at, expires_at)
       select 'test', 'localhost', n, now() - interval '2 days', now() - interval '1 day' from generate_series(1, 2001) n`,
    );
    expect(await told("prune", "--older-than", "12h")).toBe("Deleted 0 events, 0 jobs, 2001 sessions.\n");
  });

  test("a reader that goes away ends a command without a word", async () => {
    const child = spawn(process.execPath, [MAIN, "stats"], {
      env: { NODE_COMPILE_CACHE: COMPILE_CACHE, DATABASE_URL: opened.url ?? "" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    child.stdout.destroy();
    const [[code], stderr] = await Promise.all([once(child, "exit"), text(child.stderr)]);
    expect({ code: z.number().nullable().parse(code), stderr }).toEqual({ code: 0, stderr: "" });
  });

  test("the -- that pnpm hands on is no argument", async () => {
    expect(await answer("--", "ls")).toEqual({ jobs: [], next: null });
  });

  test("a schema that is not there is refused", async () => {
    const env = { DATABASE_URL: opened.url ?? "", DATABASE_SCHEMA: "elsewhere" };
    expect(await runJobs(["stats"], env)).toMatchObject({
      code: 1,
      stdout: "",
      stderr: expect.stringMatching(/^schema_missing: /),
    });
  });

  test("storage is compared with the database, and what is left is told by the exit code", async () => {
    const directory = await mkdtemp(join(tmpdir(), "jobs-reconcile-"));
    const user_id = randomUUID();
    const lost = await createCompleteDocument(opened.database, {
      passages: [{ text: "Text.", vector: vectorOf(1) }],
      upload: { user_id },
    });
    const env = { DATABASE_URL: opened.url ?? "", DATA_DIR: directory };
    const found = await runJobs(["reconcile"], env);
    expect(found).toMatchObject({ code: 1, stderr: "" });
    expect(found.stdout).toMatch(/^0 objects, 0 that no row needs/);
    expect(found.stdout).toMatch(new RegExp(`^${lost.document_id} +${lost.job_id} +done +complete$`, "m"));
    const fixed = await runJobs(["reconcile", "--fix", "--json"], env);
    expect(fixed).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(fixed.stdout)).toMatchObject({ missing_count: 1, recorded_count: 1, removed_count: 0 });
    const { schema } = opened.database;
    await opened.database.run(
      `insert into ${schema}.service_instances (instance_id, service, hostname, pid, build, environment, schema_version,
         storage, embed_model, expires_at)
       values (gen_random_uuid(), 'api', 'host', 1, 'test', 'test', 1, 'supabase x/uploads', 'm', now() + interval '1 hour')`,
    );
    expect(await runJobs(["reconcile", "--fix"], env)).toMatchObject({
      code: 1,
      stdout: "",
      stderr: expect.stringMatching(/^reconcile_refused: The api on host keeps files at supabase x\/uploads/),
    });
    await opened.database.run(`delete from ${schema}.service_instances`);
    await rm(directory, { recursive: true });
  });
});
