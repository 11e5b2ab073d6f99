import { setTimeout as delay } from "node:timers/promises";
import type { Database } from "@pipeline/db";
import type { Fleet } from "./fleet.ts";
import { listHeldJobs, listWorkerBackends, mayHoldSuspect, terminateBackend } from "./observe.ts";
import { patiently, waitUntil } from "./patience.ts";
import { type FaultCounts, type PlannedFault } from "./plan.ts";
import type { Proxy } from "./proxy.ts";
import type { Random } from "./random.ts";
import type { Server } from "./server.ts";
import type { LossKind, Takeovers } from "./takeovers.ts";
import type { WorkerProcess } from "./worker-process.ts";

export interface FaultParts {
  database: Database;
  server: Server;
  fleet: Fleet;
  proxy: Proxy;
  takeovers: Takeovers;
  random: Random;
  sparesSuspects: boolean;
  /** Now, by the database's clock. */
  dbTime: () => Date;
  signal: AbortSignal;
}

/** While the server was away: nobody can take anything over. By the database's clock. */
export interface Outage {
  from: Date;
  until: Date;
}

export interface FaultResult {
  done: FaultCounts;
  outages: Outage[];
  /** Victims that were spared because they held a job with two crashes. */
  spared: number;
  /** Graceful stops that left jobs leased, or did not end with 0. */
  rude: { id: string; why: string }[];
}

/** Carries out the plan; those that take time run beside the others. Ends early when aborted. */
export async function runFaults(plan: readonly PlannedFault[], parts: FaultParts): Promise<FaultResult> {
  const result: FaultResult = { done: zeroCounts(), outages: [], spared: 0, rude: [] };
  const underWay: Promise<void>[] = [];
  const startedAt = performance.now();
  for (const fault of plan) {
    const waitMs = startedAt + fault.atMs - performance.now();
    if (waitMs > 0) await delay(waitMs, undefined, { signal: parts.signal }).catch(() => undefined);
    if (parts.signal.aborted) break;
    const run = runFault(fault, { parts, result });
    if (fault.kind === "kill" || fault.kind === "terminate") await run;
    else underWay.push(run);
  }
  await Promise.all(underWay);
  return result;
}

export function zeroCounts(): FaultCounts {
  return { kill: 0, graceful: 0, zombie: 0, hole: 0, terminate: 0, restart: 0, crash: 0 };
}

interface FaultRun {
  parts: FaultParts;
  result: FaultResult;
}

async function runFault(fault: PlannedFault, run: FaultRun): Promise<void> {
  const isDone = await carryOut(fault, run);
  if (isDone) run.result.done[fault.kind] += 1;
}

/** False: there was nobody to hit. */
function carryOut(fault: PlannedFault, run: FaultRun): Promise<boolean> {
  switch (fault.kind) {
    case "kill":
      return kill(run);
    case "graceful":
      return stopGracefully(run);
    case "zombie":
      return pause(fault, run);
    case "hole":
      return cutOff(fault, run);
    case "terminate":
      return terminate(run);
    case "restart":
    case "crash":
      return restartServer(fault.kind, run);
  }
}

async function kill({ parts, result }: FaultRun): Promise<boolean> {
  const victim = await chooseVictim({ parts, result });
  if (victim === undefined) return false;
  lose("kill", { victim, parts });
  await parts.fleet.kill(victim);
  return true;
}

async function stopGracefully({ parts, result }: FaultRun): Promise<boolean> {
  const victim = await chooseVictim({ parts, result });
  if (victim === undefined) return false;
  const stopped = parts.fleet.restart(victim);
  victim.child.kill("SIGCONT");
  const { code, signal } = await stopped;
  // The poison document may have got its worker first.
  if (signal === "SIGKILL") return false;
  if (code !== 0) result.rude.push({ id: String(victim.pid), why: `ended with ${code ?? signal} on SIGTERM` });
  const held = await patiently(() => listHeldJobs(parts.database, [victim.pid]));
  for (const job of held.filter(({ started_at, was_lost }) => started_at >= victim.spawnedAt && !was_lost)) {
    result.rude.push({ id: job.job_id, why: `left leased by worker ${victim.pid}, which stopped gracefully` });
  }
  return true;
}

/** Stands still past its lease, then goes on as if nothing had happened. */
async function pause(fault: PlannedFault, { parts, result }: FaultRun): Promise<boolean> {
  const victim = await chooseVictim({ parts, result });
  if (victim === undefined) return false;
  victim.isImpaired = true;
  lose("zombie", { victim, parts });
  victim.child.kill("SIGSTOP");
  await delay(fault.forMs, undefined, { signal: parts.signal }).catch(() => undefined);
  victim.child.kill("SIGCONT");
  victim.isImpaired = false;
  return true;
}

async function cutOff(fault: PlannedFault, { parts, result }: FaultRun): Promise<boolean> {
  const victim = await chooseVictim({ parts, result }, () => parts.fleet.healthy().filter(isProxied(parts.fleet)));
  if (victim === undefined) return false;
  victim.isImpaired = true;
  lose("hole", { victim, parts });
  parts.proxy.block();
  victim.child.kill("SIGCONT");
  await delay(fault.forMs, undefined, { signal: parts.signal }).catch(() => undefined);
  parts.proxy.unblock();
  victim.isImpaired = false;
  return true;
}

function isProxied(fleet: Fleet): (worker: WorkerProcess) => boolean {
  return (worker) => worker === fleet.proxied();
}

async function terminate({ parts }: FaultRun): Promise<boolean> {
  const choose = async (): Promise<boolean> => {
    const pid = parts.random.pick(await listWorkerBackends(parts.database));
    return pid !== undefined && terminateBackend(parts.database, pid);
  };
  return waitUntil(() => patiently(choose), { ...VICTIM_WAIT, signal: parts.signal });
}

async function restartServer(how: "restart" | "crash", { parts, result }: FaultRun): Promise<boolean> {
  if (parts.server.restart === undefined) return false;
  const outage: Outage = { from: parts.dbTime(), until: new Date(8.64e15) };
  result.outages.push(outage);
  await parts.server.restart(how);
  outage.until = parts.dbTime();
  return true;
}

/** Starting a worker takes a second or two, longer while the server is away. */
const VICTIM_WAIT = { forMs: 60_000, everyMs: 100 };

/** Undefined: nobody was there to be hit for a long while. */
async function chooseVictim(
  { parts, result }: FaultRun,
  listCandidates = (): WorkerProcess[] => parts.fleet.healthy(),
): Promise<WorkerProcess | undefined> {
  let victim: WorkerProcess | undefined;
  const choose = async (): Promise<boolean> => {
    const candidate = parts.random.pick(listCandidates());
    if (candidate === undefined) return false;
    if (!parts.sparesSuspects) {
      victim = candidate;
      return true;
    }
    // Nobody else may choose it during the query.
    candidate.isImpaired = true;
    const isFree = !(await isSpared(candidate, parts));
    candidate.isImpaired = false;
    if (isFree) victim = candidate;
    else result.spared += 1;
    return isFree;
  };
  await waitUntil(choose, { ...VICTIM_WAIT, signal: parts.signal });
  return victim;
}

const LAST_CRASH_BEFORE_POISON = 2;

/**
 * Looks while the worker stands still, so that it cannot claim such a job meanwhile; a victim is left standing. While the
 * server is away everybody is spared: whoever stood still until it is back would have lost its lease by this look.
 */
async function isSpared({ pid, child }: WorkerProcess, { database }: FaultParts): Promise<boolean> {
  child.kill("SIGSTOP");
  const isSuspect = await mayHoldSuspect(database, { pid, crashes: LAST_CRASH_BEFORE_POISON }).catch(() => true);
  if (isSuspect) child.kill("SIGCONT");
  return isSuspect;
}

function lose(kind: LossKind, { victim, parts }: { victim: WorkerProcess; parts: FaultParts }): void {
  parts.takeovers.watch({ kind, pid: victim.pid, spawnedAt: victim.spawnedAt, lostAt: parts.dbTime() });
}
