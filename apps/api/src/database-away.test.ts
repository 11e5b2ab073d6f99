import { spawn, type ChildProcess } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createSession,
  hasParallelConnections,
  openDatabaseSwitch,
  openTestDatabase,
  type DatabaseSwitch,
  type TestDatabase,
  findFreePort,
} from "@pipeline/db/testing";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { signDevelopmentToken } from "./auth/sign-development-token.ts";
import { API_PREFIX } from "./contract/urls.ts";

const TOKEN_SECRET = "token secret of the tests, long enough";
/** Of a condition, on a machine that does much else. */
const PATIENCE = { timeout: 60_000, interval: 50 };

interface Upload {
  status: number;
  code: string | undefined;
  job_id: string | undefined;
  hasRetryAfter: boolean;
}

// The API runs as a process of its own, so that a crash would be one.
describe.skipIf(!hasParallelConnections())("a database that goes away: needs a server", () => {
  let opened: TestDatabase;
  let power: DatabaseSwitch;
  let directory: string;
  let child: ChildProcess | undefined;
  let url: string;

  beforeEach(async () => {
    opened = await openTestDatabase();
    power = await openDatabaseSwitch(opened.url ?? "");
    directory = await mkdtemp(join(tmpdir(), "api-away-"));
    // Readiness asks for a worker.
    await createSession(opened.database, 3_600_000);
  });
  afterEach(async () => {
    child?.kill("SIGKILL");
    child = undefined;
    await power.close();
    await opened.close();
    await rm(directory, { recursive: true });
  });

  async function startApi(databaseUrl = power.url): Promise<void> {
    const port = String(await findFreePort());
    url = `http://127.0.0.1:${port}`;
    const env = {
      ENVIRONMENT: "test",
      DATABASE_URL: databaseUrl,
      DATA_DIR: directory,
      SUPABASE_JWT_SECRET: TOKEN_SECRET,
      SERVICE_PORT: port,
      LIMIT_REQUESTS_PER_MINUTE_PER_ADDRESS: "1000000",
      LIMIT_REQUESTS_PER_MINUTE: "1000000",
    };
    child = spawn(process.execPath, [join(import.meta.dirname, "main.ts")], { env, stdio: "ignore" });
    await vi.waitFor(async () => expect(await statusOf("/health/live")).toBe(200), PATIENCE);
  }

  const statusOf = async (path: string): Promise<number> => (await fetch(`${url}${path}`)).status;
  const untilReady = (): Promise<void> =>
    vi.waitFor(async () => expect(await statusOf("/health/ready")).toBe(200), PATIENCE);

  async function upload(token: string): Promise<Upload> {
    const sha256 = createHash("sha256").update(randomUUID()).digest("hex");
    const response = await fetch(`${url}${API_PREFIX}/upload`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify({ filename: "letter.txt", mime: "text/plain", bytes_len: 12, sha256 }),
    });
    const body = z
      .object({ code: z.string(), job_id: z.string() })
      .partial()
      .parse(await response.json());
    const hasRetryAfter = response.headers.get("retry-after") !== null;
    return { status: response.status, code: body.code, job_id: body.job_id, hasRetryAfter };
  }

  it("is met with 503 under load, crashes nothing, loses no accepted upload, and is found again", async () => {
    await startApi();
    const uploads: Upload[] = [];
    const stopping = new AbortController();
    const lanes = Array.from({ length: 6 }, async () => {
      const token = await tokenOfSomebody();
      while (!stopping.signal.aborted) uploads.push(await upload(token));
    });
    const count = (status: number): number => uploads.filter((each) => each.status === status).length;
    await vi.waitFor(() => expect(count(201)).toBeGreaterThan(20), PATIENCE);
    await power.cut();
    await vi.waitFor(() => expect(count(503)).toBeGreaterThan(5), PATIENCE);
    expect(await statusOf("/health/ready")).toBe(503);
    expect(await statusOf("/health/live")).toBe(200);
    const before = count(201);
    await power.restore();
    await untilReady();
    await vi.waitFor(() => expect(count(201)).toBeGreaterThan(before + 20), PATIENCE);
    stopping.abort();
    await Promise.all(lanes);

    expect(child?.exitCode).toBeNull();
    const refused = uploads.filter(({ status }) => status !== 201);
    expect(new Set(refused.map(({ status, hasRetryAfter }) => `${status} ${hasRetryAfter}`))).toEqual(
      new Set(["503 true"]),
    );
    const accepted = uploads.flatMap(({ status, job_id }) => (status === 201 && job_id !== undefined ? job_id : []));
    const { schema } = opened.database;
    const lost = await opened.database.many(
      z.object({ job_id: z.string() }),
      `select job_id::text from unnest($1::uuid[]) as accepted (job_id) where not exists (
         select from ${schema}.upload_jobs j join ${schema}.documents d using (document_id)
         join ${schema}.events e using (job_id) where j.job_id = accepted.job_id and e.type = 'created')`,
      [accepted],
    );
    expect(lost).toEqual([]);
  }, 240_000);

  it("at the start is waited for: the API lives, answers 503, and serves once it is there", async () => {
    await power.cut();
    await startApi();
    const token = await tokenOfSomebody();
    expect(await statusOf("/health/ready")).toBe(503);
    expect(await upload(token)).toMatchObject({ status: 503, code: "database_unavailable", hasRetryAfter: true });
    await power.restore();
    await untilReady();
    await vi.waitFor(async () => expect((await upload(token)).status).toBe(201), PATIENCE);
  }, 240_000);

  it("that refuses its login, as while the password is changed, is met with 503 until it takes it again", async () => {
    const { database } = opened;
    const login = `login_${randomUUID().slice(0, 8)}`;
    await database.run(`create role ${login} login password 'before' in role ${database.schemaName}_api`);
    const address = new URL(power.url);
    address.username = login;
    address.password = "before";
    await startApi(address.toString());
    await untilReady();
    await database.run(`alter role ${login} password 'after'`);
    await power.cut();
    await power.restore();
    const token = await tokenOfSomebody();
    const refused = { status: 503, code: "database_login_refused", hasRetryAfter: true };
    await vi.waitFor(async () => expect(await upload(token)).toMatchObject(refused), PATIENCE);
    expect(await statusOf("/health/live")).toBe(200);
    await database.run(`alter role ${login} password 'before'`);
    await vi.waitFor(async () => expect((await upload(token)).status).toBe(201), PATIENCE);
    expect(child?.exitCode).toBeNull();
    await database.run(`drop role ${login}`);
  }, 240_000);

  it("that comes back with another schema ends the API that waited for it", async () => {
    await power.cut();
    await startApi();
    await opened.database.run(`update ${opened.database.schema}.schema_migrations set version = version + 1000`);
    await power.restore();
    await vi.waitFor(() => expect(child?.exitCode).toBe(1), PATIENCE);
  }, 240_000);
});

function tokenOfSomebody(): Promise<string> {
  return signDevelopmentToken({ secret: TOKEN_SECRET, userId: randomUUID(), expiresInSeconds: 3_600 });
}
