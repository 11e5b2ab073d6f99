import { randomUUID } from "node:crypto";
import { spreadOf } from "../report/statistics.ts";
import { formatSpread, formatTable } from "../report/table.ts";
import { jobPath } from "./requests.ts";
import type { ApiBench, ApiBenchPlan } from "./run-api-bench.ts";

/** Median time of a 404, of another user's job and of one that never existed. */
export interface ForeignRun {
  run: number;
  foreign_ms: number;
  unknown_ms: number;
}

const REQUESTS_PER_SECOND_OF_PLAN = 50;

/** One request at a time, of both kinds in turn, so that what disturbs one disturbs the other. */
export async function measureForeign({ api, users }: ApiBench, plan: ApiBenchPlan): Promise<ForeignRun[]> {
  const [user, ...others] = users;
  const foreignIds = others.flatMap(({ job_ids }) => job_ids);
  const time = async (id: string): Promise<number> => {
    const startedAt = performance.now();
    const answer = await fetch(`${api.url}${jobPath(id)}`, { headers: { authorization: `Bearer ${user?.token}` } });
    await answer.text();
    if (answer.status !== 404) throw new Error(`A job that is not there was answered with ${answer.status}.`);
    return performance.now() - startedAt;
  };
  const runs: ForeignRun[] = [];
  for (let run = 0; run <= plan.runs; run += 1) {
    const [foreign, unknown]: [number[], number[]] = [[], []];
    for (let index = 0; index < REQUESTS_PER_SECOND_OF_PLAN * plan.seconds; index += 1) {
      foreign.push(await time(foreignIds[index % foreignIds.length] ?? ""));
      unknown.push(await time(randomUUID()));
    }
    // Run 0 warms up.
    if (run > 0) runs.push({ run, foreign_ms: spreadOf(foreign).median, unknown_ms: spreadOf(unknown).median });
  }
  return runs;
}

export function formatForeign(runs: readonly ForeignRun[]): string {
  const row = [
    "GET /jobs/:id, 404",
    formatSpread(runs.map((run) => run.foreign_ms)),
    formatSpread(runs.map((run) => run.unknown_ms)),
    formatSpread(runs.map((run) => run.foreign_ms / run.unknown_ms)),
  ];
  return formatTable("Another user's job beside one that never existed", [
    ["", "foreign ms", "unknown ms", "ratio"],
    row,
  ]);
}
