import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import {
  claimOne,
  createQueuedJob,
  createSession,
  createUpload,
  hasParallelConnections,
  openTestDatabase,
} from "@pipeline/db/testing";
import { expect, it, test } from "vitest";
import { z } from "zod";

const MAIN = fileURLToPath(new URL("main.ts", import.meta.url));

async function runDoctor(args: string[], env: Record<string, string>) {
  const child = spawn(process.execPath, [MAIN, ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
  const [[code], stdout, stderr] = await Promise.all([once(child, "exit"), text(child.stdout), text(child.stderr)]);
  return { code: z.number().nullable().parse(code), stdout, stderr };
}

const NOWHERE = { DATABASE_URL: "postgresql://postgres:secret@127.0.0.1:1/none" };

test("a database that is away is not a healthy one: exit 2 with code and message", async () => {
  expect(await runDoctor([], NOWHERE)).toEqual({
    code: 2,
    stdout: "",
    stderr: "The doctor could not look. database_unavailable: The database cannot be reached.\n",
  });
});

test.each([
  ["no database is configured", [], {}, "DATABASE_URL is missing"],
  ["an option is unknown", ["--everything"], NOWHERE, "unknown option"],
  ["a cap is no number", ["--max-in-hand-per-user", "many"], NOWHERE, "--maxInHandPerUser"],
])("when %s it could not look", async (_when, args, env, message) => {
  const { code, stdout, stderr } = await runDoctor(args, env);
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(stderr).toContain(message);
});

test.each([
  ["the database is away", ["--json"], "database_unavailable", "cannot be reached"],
  ["an option is unknown", ["--everything", "--json"], "usage", "unknown option '--everything'"],
  ["a cap is no number", ["--json", "--max-in-hand-per-user", "many"], "usage", "--maxInHandPerUser"],
])("with --json it is told as JSON when %s", async (_when, args, code, message) => {
  const told = await runDoctor(args, NOWHERE);
  expect({ ...told, stderr: JSON.parse(told.stderr) }).toEqual({
    code: 2,
    stdout: "",
    stderr: { error: { code, message: expect.stringContaining(message) } },
  });
});

const reportSchema = z.object({
  is_sound: z.boolean(),
  diagnoses: z.array(
    z.object({
      invariant: z.string(),
      total: z.number(),
      offending: z.array(z.object({ id: z.string(), why: z.string() })),
    }),
  ),
});

it.skipIf(!hasParallelConnections())(
  "what is violated is told with its ids, for people and as JSON: needs a server for two processes",
  async () => {
    const opened = await openTestDatabase();
    const env = { DATABASE_URL: opened.url ?? "" };
    const { job } = await createUpload(opened.database);
    const sound = await runDoctor([], env);
    expect(sound).toMatchObject({ code: 0, stderr: "" });
    expect(sound.stdout).toMatch(/^ok +I1 +Every document has a job/m);
    expect(sound.stdout).toContain("0 violated, 0 with warnings");

    await opened.database.run("update upload_pipeline.upload_jobs set retry_count = 4");
    const told = await runDoctor([], env);
    expect(told).toMatchObject({ code: 1, stderr: "" });
    expect(told.stdout).toMatch(new RegExp(`^FAIL +I8 .*: 1\\n +${job.job_id} +counts 4 retries`, "m"));
    const json = await runDoctor(["--json", "--all", "--only", "I2, I8"], env);
    expect(json).toMatchObject({ code: 1, stderr: "" });
    const report = reportSchema.parse(JSON.parse(json.stdout));
    expect(report.is_sound).toBe(false);
    expect(new Set(report.diagnoses.map(({ invariant }) => invariant))).toEqual(new Set(["I2", "I8"]));
    expect(report.diagnoses.filter(({ total }) => total > 0)).toEqual([
      { invariant: "I8", total: 1, offending: [{ id: job.job_id, why: "counts 4 retries and 0 lost workers" }] },
    ]);
    const lenient = await runDoctor([], { ...env, WORKER_MAX_RETRIES: "4" });
    expect(lenient).toMatchObject({ code: 0, stderr: "" });
    await opened.close();
  },
);

it.skipIf(!hasParallelConnections())(
  "the workers' own cap is the doctor's, and without one I11 alone is refused: needs a server for two processes",
  async () => {
    const opened = await openTestDatabase();
    const { job } = await createQueuedJob(opened.database);
    await createQueuedJob(opened.database, { user_id: job.user_id });
    const session = await createSession(opened.database);
    for (let held = 0; held < 2; held++) await claimOne(opened.database, session);
    const env = { DATABASE_URL: opened.url ?? "" };
    const capped = await runDoctor(["--only", "I11"], { ...env, WORKER_MAX_JOBS_PER_USER: "1" });
    expect(capped).toMatchObject({ code: 1, stdout: expect.stringContaining("has 2 jobs in hand, the cap is 1") });
    const wider = ["--only", "I11", "--max-in-hand-per-user", "2"];
    expect(await runDoctor(wider, { ...env, WORKER_MAX_JOBS_PER_USER: "1" })).toMatchObject({ code: 0, stderr: "" });
    const uncapped = await runDoctor(["--only", "I11", "--json"], env);
    expect({ ...uncapped, stderr: JSON.parse(uncapped.stderr) }).toMatchObject({
      code: 2,
      stdout: "",
      stderr: {
        error: { code: "cap_missing", message: expect.stringContaining("I11 can be checked only against a cap") },
      },
    });
    await opened.close();
  },
);

it.skipIf(!hasParallelConnections())("a warning alone is no failure: needs a server for two processes", async () => {
  const opened = await openTestDatabase();
  const { job } = await createQueuedJob(opened.database);
  await opened.database.run("update upload_pipeline.upload_jobs set updated_at = now() - interval '1 hour'");
  const { code, stdout } = await runDoctor([], { DATABASE_URL: opened.url ?? "" });
  expect(code).toBe(0);
  expect(stdout).toMatch(new RegExp(`^warn +I2 .*: 1\\n +${job.job_id} +is queued since .* no worker lives$`, "m"));
  await opened.close();
});

it.skipIf(!hasParallelConnections())(
  "a schema that is not there and a name that no check has are refused: needs a server for two processes",
  async () => {
    const opened = await openTestDatabase();
    const env = { DATABASE_URL: opened.url ?? "" };
    const missing = await runDoctor([], { ...env, DATABASE_SCHEMA: "elsewhere" });
    expect(missing).toMatchObject({ code: 2, stdout: "", stderr: expect.stringContaining("schema_missing") });
    const unknown = await runDoctor(["--only", "I99"], env);
    expect(unknown).toMatchObject({ code: 2, stdout: "", stderr: expect.stringContaining("unknown_invariant") });
    await opened.close();
  },
);
