import { runInterleaved } from "../queue/run-interleaved.ts";
import { spreadOf } from "../report/statistics.ts";
import { formatSpread, formatTable } from "../report/table.ts";
import type { LoadReport } from "./messages.ts";
import type { ApiBench, ApiBenchPlan } from "./run-api-bench.ts";
import { runLoad } from "./run-load.ts";
import { apiJobs, apiUploads, tokensOf } from "./requests.ts";

const CASES = ["GET floor", "GET /jobs/:id", "POST floor", "POST /upload"] as const;
type Case = (typeof CASES)[number];

export interface ThroughputRun extends LoadReport {
  case: Case;
  /** Run 0 warms up and is left out. */
  run: number;
}

/** Twice as many as there are database connections, so that none of those idles. */
const CONNECTIONS = 20;

export async function measureThroughput(bench: ApiBench, plan: ApiBenchPlan): Promise<ThroughputRun[]> {
  const measure = async (each: Case, run: number): Promise<ThroughputRun> => {
    const load = { connections: CONNECTIONS, seconds: plan.seconds };
    const report = await runLoad({ ...load, ...requestsOf(each, bench) });
    plan.print(`${each}, run ${run}: ${Math.round(report.requests_per_second)} requests/s`);
    return { case: each, run, ...report };
  };
  for (const each of CASES) await measure(each, 0);
  return runInterleaved(CASES, plan.runs, measure);
}

function requestsOf(each: Case, { api, floorUrl, users }: ApiBench) {
  switch (each) {
    case "GET floor":
      return {
        url: floorUrl,
        requests: users.flatMap(({ job_ids }) => job_ids.map((id) => ({ path: `/jobs/${id}`, isUpload: false }))),
      };
    case "GET /jobs/:id":
      return { url: api.url, tokens: tokensOf(users), requests: apiJobs(users) };
    case "POST floor":
      return { url: floorUrl, requests: [{ path: "/upload", isUpload: true }] };
    case "POST /upload":
      return { url: api.url, tokens: tokensOf(users), requests: apiUploads(users) };
  }
}

export function formatThroughput(runs: readonly ThroughputRun[]): string {
  const rows = CASES.map((name) => {
    const own = runs.filter((run) => run.case === name);
    return [
      name,
      formatSpread(own.map((run) => run.requests_per_second)),
      formatSpread(own.map((run) => run.p50_ms)),
      formatSpread(own.map((run) => run.p99_ms)),
      name.endsWith("floor") ? "–" : `${Math.round(100 * shareOfFloor(runs, name))} %`,
    ];
  });
  return formatTable("Throughput", [["", "requests/s", "p50 ms", "p99 ms", "of the floor"], ...rows]);
}

/** Of medians. */
function shareOfFloor(runs: readonly ThroughputRun[], name: Case): number {
  const floor: Case = name.startsWith("GET") ? "GET floor" : "POST floor";
  const medianOf = (wanted: Case) =>
    spreadOf(runs.filter((run) => run.case === wanted).map((run) => run.requests_per_second)).median;
  return medianOf(name) / medianOf(floor);
}
