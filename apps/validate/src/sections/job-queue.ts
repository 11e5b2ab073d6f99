import { countEndedLastHour, type Database, getQueueControl, getQueueStats, listWorkerSessions } from "@pipeline/db";
import { z } from "zod";
import type { Check } from "../checklist.ts";
import { type Deployment, describeDatabase, describeToken, type SectionChecks } from "../deployment.ts";
import { Fault, Skipped } from "../finding.ts";
import { read } from "../http.ts";
import { needHealth } from "./service-health.ts";

/** The operators' guide: more waiting jobs than this are a backlog, a job in hand for longer is stuck. */
const MAX_BACKLOG = 100;
const MAX_IN_HAND_SECONDS = 300;
const MOST_SESSIONS = 100;

/** The operators' guide: of what ended within the last hour. One user's broken files alone are no fault of the service. */
const MAX_FAILED_PERCENT = 5;
const FEWEST_FAILED = 5;

export const jobQueue: SectionChecks = async (deployment, check) => {
  const { database, known } = deployment;
  await check("A worker lives", async () => {
    const { workers } = needHealth(known.health);
    if (workers.live_count === null) throw new Fault("the database could not tell");
    if (workers.live_count < 1) {
      const last = workers.last_heartbeat_at ?? "never";
      throw new Fault(
        `no_live_worker: no worker sends heartbeats to this schema, the last one ${last}`,
        "Start a worker, and see that its DATABASE_URL and DATABASE_SCHEMA are the API's.",
      );
    }
    return { detail: `${workers.live_count} live`, figures: { live_workers: workers.live_count } };
  });
  await checkQueue(deployment, check);
  if (database !== undefined) return checkEnds(database, check);
  await check("Dead workers, failures", async () => {
    throw new Skipped(`needs ${describeDatabase(deployment)}`);
  });
};

/** The part of `/admin/queue` that is judged; the database tells the same. */
const queueAnswer = z.object({
  by_state: z.array(z.object({ state: z.string(), job_count: z.number(), idle_seconds: z.number().nullable() })),
  due_count: z.number(),
  control: z.object({
    paused_at: z.union([z.string(), z.date()]).nullable(),
    paused_by: z.string().nullable(),
    reason: z.string().nullable(),
  }),
});
type Queue = z.infer<typeof queueAnswer>;

/** What operators see, where the service key is known; else what is in the database. */
async function readQueue(deployment: Deployment): Promise<Queue> {
  const { api, tokens, database } = deployment;
  if (tokens.service !== undefined) {
    return read(await api("/admin/queue", { token: tokens.service }), 200, queueAnswer);
  }
  if (database === undefined)
    throw new Skipped(`needs ${describeToken(tokens, "service")}, or ${describeDatabase(deployment)}`);
  return { ...(await getQueueStats(database)), control: await getQueueControl(database) };
}

async function checkQueue(deployment: Deployment, check: Check): Promise<void> {
  await check("Workers may claim jobs", async () => {
    const { paused_at: at, paused_by: by, reason } = (await readQueue(deployment)).control;
    if (at === null) return "claiming is not paused";
    throw new Fault(
      `queue_paused: claiming is paused since ${new Date(at).toISOString()} by ${by ?? "somebody"}: ${reason ?? "no reason given"}`,
      "pnpm jobs resume",
    );
  });
  await check("There is no backlog", async () => {
    const { by_state, due_count } = await readQueue(deployment);
    const waiting = (by_state.find(({ state }) => state === "queued")?.job_count ?? 0) + due_count;
    if (waiting > MAX_BACKLOG) throw new Fault(`${waiting} jobs wait for a worker`, "Start more workers.");
    return { detail: `${waiting} jobs wait for a worker`, figures: { backlog_jobs: waiting } };
  });
  await check("No job is stuck in a worker's hands", async () => {
    const working = (await readQueue(deployment)).by_state.find(({ state }) => state === "working");
    const stillest_seconds = Math.round(working?.idle_seconds ?? 0);
    if (stillest_seconds > MAX_IN_HAND_SECONDS) {
      throw new Fault(`a job in hand has not moved for ${stillest_seconds} s`, "pnpm jobs ls --state working");
    }
    return { detail: `${working?.job_count ?? 0} in hand`, figures: { stillest_seconds } };
  });
}

async function checkEnds(db: Database, check: Check): Promise<void> {
  await check("Dead workers hold no jobs", async () => {
    const sessions = await listWorkerSessions(db, MOST_SESSIONS);
    const holding = sessions.filter(({ is_live, job_count }) => !is_live && job_count > 0);
    if (holding.length === 0) return `${sessions.filter(({ is_live }) => is_live).length} live sessions`;
    throw new Fault(
      `${holding.map(({ worker_name }) => worker_name).join(", ")} died and still hold jobs`,
      "A live worker takes them within 20 s; see that one runs.",
    );
  });
  await check("Few jobs fail", async () => {
    const { done_count, failed_count } = await countEndedLastHour(db);
    const failed_percent = Math.round((100 * failed_count) / Math.max(1, done_count + failed_count));
    const detail = `${failed_count} of ${done_count + failed_count} jobs of the last hour`;
    if (failed_percent > MAX_FAILED_PERCENT && failed_count >= FEWEST_FAILED) {
      throw new Fault(`${detail} were dead-lettered`, "pnpm jobs ls --state deadletter");
    }
    return { detail, figures: { failed_percent } };
  });
}
