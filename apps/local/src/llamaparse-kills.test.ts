import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { diagnose } from "@pipeline/db";
import { findFreePort, hasParallelConnections, openTestDatabase, type TestDatabase } from "@pipeline/db/testing";
import { type LlamaParse, startLlamaParse } from "@pipeline/mocks";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Client, createClient } from "./client.ts";
import { type Command, killStarted, startCommand } from "./spawn.fixture.ts";

const SENT = "POST /api/v2/parse/upload";
const SOUGHT = "GET /api/v2/parse";
const ASKED = "GET /api/v2/parse/:id";

describe.skipIf(!hasParallelConnections())("workers killed by SIGKILL: need a server", () => {
  let directory: string;
  let opened: TestDatabase;
  let emulator: LlamaParse;
  let env: Record<string, string>;
  let client: Client | undefined;
  let worker: Command;
  /** The requests at which a worker is to die, the next one first. */
  let deaths: string[] = [];

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "kills-test-"));
    opened = await openTestDatabase();
    emulator = await startLlamaParse({
      onRequest: async ({ route, headers }) => {
        // Requests for a document, not the self-test's: the latter have no correlation id.
        if (headers["x-correlation-id"] === undefined || route !== deaths[0]) return;
        deaths.shift();
        worker.child.kill("SIGKILL");
        await worker.ended;
      },
    });
    env = {
      DATABASE_URL: opened.url ?? "",
      DATA_DIR: join(directory, "data"),
      SERVICE_PORT: String(await findFreePort()),
      LLAMAPARSE_API_KEY: "llx-key-of-the-tests",
      LLAMAPARSE_BASE_URL: emulator.url,
    };
  });
  afterAll(async () => {
    killStarted();
    await emulator.close();
    await opened.close();
    await rm(directory, { recursive: true });
  });

  const startApi = async (): Promise<Client> => {
    await startCommand("apps/api/src/main.ts", { env }).printed(/(listening)/u);
    const token = await startCommand("apps/api/src/token.ts", { env }).printed(/^(eyJ\S+)$/mu);
    return createClient({ url: `http://127.0.0.1:${env["SERVICE_PORT"] ?? ""}`, token });
  };
  const startWorker = (): void => {
    worker = startCommand("apps/worker/src/main.ts", { env });
  };

  test.each([
    ["while the document is sent, and while it is looked for there", [SENT, SOUGHT]],
    ["while the provider's job is asked about, and while its result is fetched", [ASKED, ASKED]],
  ])(
    "%s: the provider has one job, and the document is complete",
    async (_, requests) => {
      client ??= await startApi();
      const api = client;
      deaths = [...requests];
      const path = join(directory, "policy.md");
      await writeFile(path, `# Policy\n\nWater damage is covered, unless ${requests.join(" or ")}.\n`);
      startWorker();
      const { job_id } = await api.upload(path);
      for (let left = requests.length; left > 0; left -= 1) {
        expect(await worker.ended, worker.output()).toBeNull();
        // Its lease would run out within 12 s.
        await opened.database.run(
          `update ${opened.database.schema}.worker_sessions set expires_at = now() - interval '1 s'`,
        );
        startWorker();
      }
      await expect.poll(async () => (await api.getJob(job_id)).state, { timeout: 120_000, interval: 200 }).toBe("done");
      worker.child.kill("SIGTERM");
      expect(await worker.ended, worker.output()).toBe(0);
      expect(deaths).toEqual([]);
      const { files, paid_again_count } = emulator.stats();
      expect(files.map(({ job_count }) => job_count)).toEqual(files.map(() => 1));
      expect(paid_again_count).toBe(0);
      const diagnoses = await diagnose(opened.database);
      expect(diagnoses.filter(({ severity, total }) => severity === "error" && total > 0)).toEqual([]);
    },
    240_000,
  );
});
