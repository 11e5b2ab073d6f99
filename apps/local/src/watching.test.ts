import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { migrate } from "@pipeline/db";
import { findFreePort, hasParallelConnections, openTestDatabase, type TestDatabase } from "@pipeline/db/testing";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { type Client, createClient } from "./client.ts";
import { type Command, killStarted, startCommand } from "./spawn.fixture.ts";

const STAGING = "upload_pipeline_staging";
const PRODUCTION = "upload_pipeline";

/** What an API and a worker share, and where they answer. */
interface Deployment {
  env: Record<string, string>;
  url: string;
  workerUrl: string;
}

async function start(service: "api" | "worker", { env }: Deployment): Promise<Command> {
  const command = startCommand(`apps/${service}/src/main.ts`, { env });
  await command.printed(service === "api" ? /listening/ : /worker started/);
  return command;
}

async function clientOf({ env, url }: Deployment): Promise<Client> {
  const token = startCommand("apps/api/src/token.ts", { env });
  return createClient({ url, token: await token.printed(/^(eyJ\S+)$/m) });
}

describe.skipIf(!hasParallelConnections())("running services: need a server", () => {
  let directory: string;
  let opened: TestDatabase;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "watching-test-"));
    // The migrated schema of the same database is production's.
    opened = await openTestDatabase(STAGING);
    await migrate(opened.database);
  });

  afterEach(async () => {
    killStarted();
    await opened.close();
    await rm(directory, { recursive: true });
  });

  const deployment = async (schema: string): Promise<Deployment> => {
    const [port, workerPort] = [String(await findFreePort()), String(await findFreePort())];
    return {
      url: `http://127.0.0.1:${port}`,
      workerUrl: `http://127.0.0.1:${workerPort}`,
      env: {
        DATABASE_URL: opened.url ?? "",
        DATABASE_SCHEMA: schema,
        DATA_DIR: join(directory, schema),
        SERVICE_PORT: port,
        WORKER_HEALTH_PORT: workerPort,
      },
    };
  };

  const body = z.looseObject({
    failing: z.array(z.looseObject({ code: z.string() })),
    fingerprint: z.string().nullish(),
  });
  const ask = async (url: string) => {
    const response = await fetch(url);
    return { ...body.parse(await response.json()), http_status: response.status };
  };
  const statusOf = async (url: string): Promise<number> => (await ask(url)).http_status;
  /** The promise is 30 s; everything else may take as long as a loaded machine needs. */
  const PATIENCE = { timeout: 60_000, interval: 200 };

  test("a killed worker turns the API's readiness red within 30 s", async () => {
    const live = await deployment(PRODUCTION);
    await start("api", live);
    const worker = await start("worker", live);
    await expect.poll(() => statusOf(`${live.workerUrl}/health/ready`), PATIENCE).toBe(200);
    await expect.poll(() => statusOf(`${live.url}/health/ready`), PATIENCE).toBe(200);
    expect(await statusOf(`${live.workerUrl}/health/live`)).toBe(200);
    const metrics = await (await fetch(`${live.workerUrl}/metrics`)).text();
    expect(metrics).toMatch(/^pipeline_live_workers\{.*\} 1$/m);
    expect(metrics).toMatch(
      /^pipeline_build_info\{service="worker",environment="development",schema="upload_pipeline",/m,
    );

    const killedAt = performance.now();
    worker.child.kill("SIGKILL");
    await expect.poll(() => statusOf(`${live.url}/health/ready`), { timeout: 30_000, interval: 100 }).toBe(503);
    expect(performance.now() - killedAt).toBeLessThan(30_000);
    const { failing } = await ask(`${live.url}/health/ready`);
    expect(failing.map(({ code }) => code)).toEqual(["no_live_worker"]);
  }, 120_000);

  const countRows = async (schema: string): Promise<Record<string, number>> => {
    const tables = [
      "documents",
      "upload_jobs",
      "events",
      "document_pages",
      "document_chunks",
      "session_claims",
      "user_turns",
    ];
    const counts = await Promise.all(
      tables.map(async (table) => {
        const [row] = await opened.database.many(
          z.object({ count: z.number() }),
          `select count(*)::int as count from ${schema}.${table}`,
        );
        return [table, row?.count ?? -1] as const;
      }),
    );
    return Object.fromEntries(counts);
  };

  test("staging and production in one database see nothing of each other", async () => {
    const staging = await deployment(STAGING);
    const production = await deployment(PRODUCTION);
    const services = await Promise.all(
      [staging, production].flatMap((one) => [start("api", one), start("worker", one)]),
    );
    const file = join(directory, "letter.txt");
    await writeFile(file, "Water damage in the kitchen is covered up to 10,000 dollars.\n");
    const client = await clientOf(staging);
    // A loaded machine may need a moment for a connection, which the API does not wait for.
    const upload = async (): Promise<string> => {
      const { job_id } = await client.upload(file);
      return (await client.getJob(job_id)).state;
    };
    await expect.poll(upload, PATIENCE).toBe("done");

    expect(await countRows(STAGING)).toMatchObject({ documents: 1, upload_jobs: 1, user_turns: 1 });
    const nothing = Object.keys(await countRows(PRODUCTION)).map((table) => [table, 0]);
    expect(await countRows(PRODUCTION)).toEqual(Object.fromEntries(nothing));
    const [turns] = await opened.database.many(
      z.object({ is_called: z.boolean() }),
      `select is_called from ${PRODUCTION}.served_turn`,
    );
    expect(turns).toEqual({ is_called: false });
    expect(services.at(-1)?.output()).not.toContain("claim ended");

    const fingerprints = async (): Promise<unknown[]> => {
      const urls = [staging.url, staging.workerUrl, production.url, production.workerUrl];
      return Promise.all(urls.map(async (url) => (await ask(`${url}/health`)).fingerprint));
    };
    await expect.poll(fingerprints, PATIENCE).not.toContain(null);
    const [stagingApi, stagingWorker, productionApi, productionWorker] = await fingerprints();
    expect(stagingApi).toBe(stagingWorker);
    expect(productionApi).toBe(productionWorker);
    expect(stagingApi).not.toBe(productionApi);
    for (const { url } of [staging, production]) {
      await expect.poll(async () => (await ask(`${url}/health`)).failing, PATIENCE).toEqual([]);
    }
  }, 240_000);

  test.each([
    [
      "api",
      "schema_newer",
      "insert into schema_migrations (version, name, checksum) values (9999, 'later', 'x')",
      /deploy newer code/,
    ],
    [
      "worker",
      "schema_older",
      "delete from schema_migrations where version = (select max(version) from schema_migrations)",
      /pnpm migrate/,
    ],
  ] as const)(
    "the %s does not start on a schema of another version, and says what to do: %s",
    async (service, code, sql, remedy) => {
      await opened.database.run(sql.replaceAll("schema_migrations", `${STAGING}.schema_migrations`));
      const { env } = await deployment(STAGING);
      const command = startCommand(`apps/${service}/src/main.ts`, { env });
      expect(await command.ended).toBe(1);
      expect(command.output()).toContain(code);
      expect(command.output()).toMatch(remedy);
    },
  );
});
