import { formatSpread, formatTable } from "../report/table.ts";
import type { LoadReport } from "./messages.ts";
import { jobPath, mixedRequests, tokensOf } from "./requests.ts";
import type { ApiBench, ApiBenchPlan } from "./run-api-bench.ts";
import { runLoad } from "./run-load.ts";

export interface MixedRun extends LoadReport {
  run: number;
}

const RATE = 200;
const CONNECTIONS = 20;
const STREAMS = 50;

/** As many reads as uploads at an even rate, while streams of jobs are open. */
export async function measureMixed(bench: ApiBench, plan: ApiBenchPlan): Promise<MixedRun[]> {
  const runs: MixedRun[] = [];
  for (let run = 1; run <= plan.runs; run += 1) {
    const report = await runLoad({ ...mixedLoad(bench), seconds: plan.seconds });
    if (report.streams !== STREAMS) throw new Error(`${report.streams} of ${STREAMS} streams were open at the end.`);
    plan.print(`mixed, run ${run}: p50 ${report.p50_ms} ms, p99 ${report.p99_ms} ms`);
    runs.push({ run, ...report });
  }
  return runs;
}

export function mixedLoad({ api, users }: ApiBench) {
  const streams = Array.from({ length: STREAMS }, (_, index) => {
    const bearer = index % users.length;
    return { path: `${jobPath(users[bearer]?.job_ids[1] ?? "")}/stream`, bearer };
  });
  const requests = mixedRequests(users);
  return { url: api.url, connections: CONNECTIONS, rate: RATE, tokens: tokensOf(users), requests, streams };
}

export function formatMixed(runs: readonly MixedRun[]): string {
  const row = [
    `${RATE} requests/s`,
    formatSpread(runs.map((run) => run.requests_per_second)),
    formatSpread(runs.map((run) => run.p50_ms)),
    formatSpread(runs.map((run) => run.p99_ms)),
  ];
  const title = `Reads and uploads in turn, ${STREAMS} open streams`;
  return formatTable(title, [["", "requests/s", "p50 ms", "p99 ms"], row]);
}
