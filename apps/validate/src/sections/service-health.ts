import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";
import type { SectionChecks } from "../deployment.ts";
import { Fault, Skipped } from "../finding.ts";
import { describeFailing, healthAnswer, readyAnswer } from "../health-answer.ts";
import { read } from "../http.ts";

export const serviceHealth: SectionChecks = async ({ root, known }, check) => {
  await check("The API answers", async () => {
    const answer = await root("/health/live");
    read(answer, 200, z.looseObject({ status: z.literal("live") }));
    return { detail: `/health/live in ${Math.round(answer.ms)} ms`, figures: { live_ms: Math.round(answer.ms) } };
  });
  await check("The system tells its state", async () => {
    known.health = await patiently(async () => read(await root("/health"), 200, healthAnswer));
    const { status, environment, build, schema_version: version } = known.health;
    return `${status}, ${environment}, build ${build}, schema version ${version ?? "unknown"}`;
  });
  await check("Every part works", async () => {
    const { failing, status } = needHealth(known.health);
    if (failing.length > 0) throw new Fault(describeFailing(failing), "See the runbook for the code that is named.");
    if (status !== "healthy") throw new Fault(`status is ${status}, and no failing part is named`);
    return "database, schema, storage, embedder and workers";
  });
  await check("It is ready for uploads", async () => {
    const { failing } = await patiently(async () => read(await root("/health/ready"), [200, 503], readyAnswer));
    if (failing.length > 0) throw new Fault(describeFailing(failing));
    return "/health/ready says so";
  });
  await check("It says which commit runs", async () => {
    const { build, environment } = needHealth(known.health);
    if (!/(^|\+)(unknown|development)$/.test(build)) return build;
    if (environment === "development" || environment === "test") throw new Skipped(`a ${environment} build: ${build}`);
    throw new Fault(`build is ${build}`, "Build the image with --build-arg COMMIT=$(git rev-parse HEAD).");
  });
};

const TRIES = 3;
const PAUSE_MS = 1_000;

/** A probe that was late says that the machine was busy at that moment: it counts if it is late each time. */
async function patiently<T extends { failing: readonly { code: string }[] }>(ask: () => Promise<T>): Promise<T> {
  for (let tried = 1; ; tried += 1) {
    const answer = await ask();
    if (tried === TRIES || answer.failing.every(({ code }) => code !== "probe_timeout")) return answer;
    await delay(PAUSE_MS);
  }
}

export function needHealth<T>(health: T | undefined): T {
  if (health === undefined) throw new Skipped("/health did not tell");
  return health;
}
