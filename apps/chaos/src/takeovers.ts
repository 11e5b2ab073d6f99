import type { Database } from "@pipeline/db";
import { type HeldJob, listEventsOf, listHeldJobs, listJobs, type SeenEvent, type SeenJob } from "./observe.ts";
import { type StaleWrites, tryStaleWrites } from "./stale-writes.ts";

/** How a worker was lost to its jobs. */
export type LossKind = "kill" | "poison" | "zombie" | "hole";

/** A worker that is lost from a moment on, by the database's clock. */
export interface LostWorker {
  kind: LossKind;
  pid: number;
  spawnedAt: Date;
  lostAt: Date;
}

/** One claim that a lost worker held. */
export interface LostClaim {
  kind: LossKind;
  pid: number;
  job_id: string;
  fence: number;
  /** As it was when the worker was lost. */
  crash_count: number;
  /** How many jobs that worker had in hand, this one included. */
  in_hand: number;
  lostAt: Date;
  /** When it had certainly been claimed. */
  claimedAt: Date;
  /** Last seen still in the lost worker's name. */
  heldUntil: Date;
  rescuedAt?: Date;
  /** Claimed by another, or dead-lettered: certainly by then. */
  takenAt?: Date;
}

/** Follows the jobs of lost workers until others have them, and writes in the names of the lost ones meanwhile. */
export interface Takeovers {
  watch(worker: LostWorker): void;
  /** One look. Throws the database's errors. */
  poll(): Promise<void>;
  /** Adds what the events tell. */
  settle(): Promise<LostClaim[]>;
  stale: StaleWrites;
}

/** Statements that were under way when the worker was lost may still give it jobs. */
const LATE_CLAIMS_MS = 5_000;

export function createTakeovers(database: Database): Takeovers {
  const stale: StaleWrites = { tried: 0, accepted: [] };
  const claims = new Map<string, LostClaim>();
  let watched: LostWorker[] = [];

  const collect = async (): Promise<void> => {
    if (watched.length === 0) return;
    const asked = watched;
    const askedAt = Date.now();
    const held = await listHeldJobs(
      database,
      asked.map((worker) => worker.pid),
    );
    for (const worker of asked) addClaims(claims, { worker, held });
    const isOver = (worker: LostWorker): boolean => askedAt - worker.lostAt.getTime() > LATE_CLAIMS_MS;
    watched = watched.filter((worker) => !asked.includes(worker) || !isOver(worker));
  };
  const follow = async (): Promise<void> => {
    const open = [...claims.values()].filter((claim) => claim.takenAt === undefined);
    if (open.length === 0) return;
    const jobs = await listJobs(
      database,
      open.map((claim) => claim.job_id),
    );
    const byId = new Map(jobs.map((job) => [job.job_id, job]));
    const seen = open.flatMap((claim) => {
      const job = byId.get(claim.job_id);
      return job !== undefined && look(claim, job) ? [{ job, staleFence: claim.fence }] : [];
    });
    // After all the looks: they take time.
    for (const stealing of seen) await tryStaleWrites(database, stealing, stale);
  };
  return {
    watch: (worker) => void watched.push(worker),
    poll: async () => {
      await collect();
      await follow();
    },
    settle: async () => {
      const all = [...claims.values()];
      const events = await listEventsOf(
        database,
        all.map((claim) => claim.job_id),
      );
      const byJob = Map.groupBy(events, (event) => event.job_id);
      for (const claim of all) readEvents(claim, byJob.get(claim.job_id) ?? []);
      for (const claim of all) countNextHolder(claim, claims);
      return all;
    },
    stale,
  };
}

function keyOf({ job_id, fence }: { job_id: string; fence: number }): string {
  return `${job_id} ${fence}`;
}

function addClaims(claims: Map<string, LostClaim>, found: { worker: LostWorker; held: readonly HeldJob[] }): void {
  const { kind, pid, lostAt, spawnedAt } = found.worker;
  const own = found.held.filter((job) => job.pid === pid && job.started_at >= spawnedAt);
  for (const { job_id, fence, crash_count, updated_at: claimedAt } of own) {
    const key = keyOf({ job_id, fence });
    if (claims.has(key)) continue;
    claims.set(key, {
      kind,
      pid,
      job_id,
      fence,
      crash_count,
      in_hand: own.length,
      lostAt,
      claimedAt,
      heldUntil: lostAt,
    });
  }
}

/**
 * True when it is time for stale writes: they come twice, while the job waits for its next holder and when it has one. The
 * claim itself is the last change of the row until its holder makes its first step.
 */
function look(claim: LostClaim, job: SeenJob): boolean {
  if (job.fence === claim.fence && job.state === "working") claim.heldUntil = job.seen_at;
  if (job.fence <= claim.fence) return false;
  const wasKnown = claim.rescuedAt !== undefined;
  claim.rescuedAt ??= job.updated_at;
  const isTaken = job.fence > claim.fence + 1 || job.state === "deadletter";
  if (isTaken) claim.takenAt = job.updated_at;
  return isTaken || !wasKnown;
}

/** What was seen is late by up to a poll; the events tell when. A claim itself leaves none, its first step does. */
function readEvents(claim: LostClaim, events: readonly SeenEvent[]): void {
  const rescue = events.find((event) => event.fence === claim.fence + 1);
  if (rescue) claim.rescuedAt = earlier(claim.rescuedAt, rescue.created_at);
  const next = events.find((event) => event.fence > claim.fence + 1);
  if (next) claim.takenAt = earlier(claim.takenAt, next.created_at);
  if (rescue?.type === "deadlettered") claim.takenAt = rescue.created_at;
}

/** The next holder may have been lost at once, and left no trace but this. */
function countNextHolder(claim: LostClaim, claims: ReadonlyMap<string, LostClaim>): void {
  const next = claims.get(keyOf({ job_id: claim.job_id, fence: claim.fence + 2 }));
  if (next) claim.takenAt = earlier(claim.takenAt, next.claimedAt);
}

function earlier(a: Date | undefined, b: Date): Date {
  return a !== undefined && a < b ? a : b;
}
