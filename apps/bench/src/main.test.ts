import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { hasParallelConnections, openTestDatabase } from "@pipeline/db/testing";
import { expect, it } from "vitest";
import { z } from "zod";

const MAIN = join(import.meta.dirname, "main.ts");
const run = promisify(execFile);

/** Runs the command on the server that the tests run on, and answers what it wrote as JSON. */
async function bench(...args: string[]): Promise<{ printed: string; report: unknown }> {
  const test = await openTestDatabase();
  const directory = await mkdtemp(join(tmpdir(), "bench-test-"));
  const json = join(directory, "report.json");
  try {
    const common = ["--quick", "--url", test.url ?? "", "--json", json];
    const { stdout } = await run(process.execPath, [MAIN, ...args, ...common], { env: {} });
    return { printed: stdout, report: JSON.parse(await readFile(json, "utf8")) };
  } finally {
    await test.close();
    await rm(directory, { recursive: true });
  }
}

it.skipIf(!hasParallelConnections())(
  "every queue drains its backlog and reports its figures: needs a server for several processes",
  { timeout: 300_000 },
  async () => {
    const { printed, report } = await bench("queue", "--only", "drain,pipeline,graphile-worker,pg-boss-tuned,dbos");
    const runs = z.object({
      drain: z.array(z.object({ system: z.string(), docs: z.number(), docs_done: z.number() })),
    });
    const { drain } = runs.parse(report);
    expect(drain.map((each) => each.system)).toEqual(["pipeline", "graphile-worker", "pg-boss-tuned", "dbos"]);
    for (const each of drain) expect(each.docs_done).toBe(each.docs);
    expect(printed).toContain("transitions/s");
  },
);

it.skipIf(!hasParallelConnections())(
  "latency, claims, stale writes and fairness are measured: needs a server for several processes",
  { timeout: 300_000 },
  async () => {
    const { report } = await bench("queue", "--only", "latency,claims,stale-writes,fairness,pipeline");
    expect(report).toMatchObject({
      latency: [{ system: "pipeline", docs: 50, docs_done: 50 }],
      claims: [
        { case: "almost empty" },
        { case: "many deferred", rows: 2_000 },
        { case: "long backlog" },
        { case: "pinned xmin" },
      ],
      stale_writes: { attempts: 1_000, accepted: 0, changed: 0 },
      fairness: { noisy_files: 500, in_hand: 100 },
    });
  },
);

it.skipIf(!hasParallelConnections())(
  "searches are measured: needs a server for another process",
  { timeout: 300_000 },
  async () => {
    const { report } = await bench("search");
    expect(report).toMatchObject({ search: [{ question: "words match" }, { question: "no word matches" }] });
  },
);

it.skipIf(!hasParallelConnections())(
  "the API is measured beside its floor, under streams and for what it tells of others: needs a server for several processes",
  { timeout: 300_000 },
  async () => {
    const { printed, report } = await bench("api");
    expect(report).toMatchObject({
      throughput: ["GET floor", "GET /jobs/:id", "POST floor", "POST /upload"].map((name) => ({
        case: name,
        failed: 0,
      })),
      mixed: [{ run: 1, failed: 0, streams: 50 }],
      foreign: [{ run: 1 }],
    });
    expect(printed).toContain("of the floor");
  },
);

it("a scenario that does not exist is refused", async () => {
  await expect(run(process.execPath, [MAIN, "queue", "--only", "drian"], { env: {} })).rejects.toMatchObject({
    stderr: expect.stringContaining("drian"),
  });
});
