import { listOtherWorkers } from "@pipeline/db";
import type { DocumentEvent, SectionChecks } from "../deployment.ts";
import { Fault, Skipped } from "../finding.ts";
import { needHealth } from "./service-health.ts";

/** WORKER_POLL_INTERVAL is 5 s: whoever is not woken by then has found the job by polling, or lives elsewhere. */
const MAX_PICKUP_MS = 10_000;
const WOKEN_MS = 1_000;

export const communication: SectionChecks = async ({ known, database }, check) => {
  await check("API and worker agree on what they work on", async () => {
    const { failing, workers } = needHealth(known.health);
    const differing = failing.filter(
      ({ part, code }) => part === "fingerprint" || /mismatch|differ|disagree/.test(code),
    );
    if (differing.length > 0) throw new Fault(differing.map(({ code, detail }) => `${code}: ${detail}`).join("; "));
    if ((workers.live_count ?? 0) < 1) {
      const elsewhere = database === undefined ? [] : await listOtherWorkers(database);
      if (elsewhere.length === 0)
        throw new Fault("no_live_worker: none is registered in the API's database and schema");
      throw new Fault(
        `wrong_schema: workers live in ${elsewhere.join(", ")}, and none in ${database?.schemaName ?? ""}`,
        "Give API and worker the same DATABASE_SCHEMA.",
      );
    }
    return "one database, one schema";
  });
  await check("A worker takes a confirmed upload at once", async () => {
    const { confirmedAt, events, watchedMs = 0 } = known.document ?? {};
    if (confirmedAt === undefined) throw new Skipped("no upload was confirmed");
    if (events === undefined) throw new Skipped("the document's history could not be read");
    const queued = events.findLast(({ status, state }) => status === "uploaded" && state === "queued");
    const taken = events.find(({ state, status }) => state === "working" || status === "parsing");
    if (taken === undefined) throw explainPickup(events, watchedMs);
    if (queued === undefined) throw new Fault("the history does not tell when it was confirmed");
    const ms = Math.max(0, Date.parse(taken.created_at) - Date.parse(queued.created_at));
    if (ms > MAX_PICKUP_MS) throw new Fault(`it waited ${ms} ms`, "More workers, or see why they are busy.");
    return {
      detail: `after ${ms} ms, ${ms < WOKEN_MS ? "woken" : "found by polling or busy"}`,
      figures: { pickup_ms: ms },
    };
  });
  await check("One correlation id from upload to end", async () => {
    const run = known.document;
    if (run?.events === undefined || run.completedMs === undefined)
      throw new Skipped("the document did not become complete");
    const others = run.events.filter(({ correlation_id: id }) => id !== run.correlation_id);
    if (others.length > 0) throw new Fault(`${others.length} of ${run.events.length} events have another one`);
    return `${run.correlation_id} on all ${run.events.length} events`;
  });
};

/** What a worker failed at before the first stage's end is in the history as well. */
function explainPickup(events: readonly DocumentEvent[], watchedMs: number): Fault | Skipped {
  const isTaken = events.some(({ state, code }) => ["retryable", "deadletter"].includes(state) && code !== null);
  if (isTaken) return new Skipped("a worker took it and failed before the first stage's end");
  return new Fault(`no worker took it within ${Math.round(watchedMs / 1_000)} s`);
}
