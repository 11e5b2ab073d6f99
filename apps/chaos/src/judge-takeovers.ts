import type { Outage } from "./faults.ts";
import { spreadOf, type TakeoverFigures } from "./report.ts";
import type { LossKind, LostClaim } from "./takeovers.ts";

/** I13: from the loss of a worker until another has each of its jobs. */
const PROMISED_MS = 20_000;

export interface JudgedTakeovers {
  /** Of jobs that lost their first worker, by how; and of those that lost their second. */
  figures: Record<LossKind | "alone", TakeoverFigures>;
  /** Jobs that stayed in the lost worker's name for too long: the rescue failed. */
  rescuedLate: Offence[];
  /** Jobs that no other worker had in time: for want of a rescue, or of a live worker with a free slot. */
  takenLate: Offence[];
}

interface Offence {
  id: string;
  why: string;
}

/**
 * Whether every lost job was taken over in time. The promise holds while there is a server: where it was away in between,
 * as much time is granted on top, and what it delayed stays out of the figures.
 */
export function judgeTakeovers(claims: readonly LostClaim[], outages: readonly Outage[]): JudgedTakeovers {
  const lateBy = (pick: (claim: LostClaim) => Date | undefined): Offence[] =>
    claims.filter((claim) => isLate(claim, { until: pick(claim) ?? claim.heldUntil, outages })).map(describeLate);
  const kinds = { kill: [], poison: [], zombie: [], hole: [] } satisfies Record<LossKind, LostClaim[]>;
  const byKind: Record<LossKind, LostClaim[]> = kinds;
  // Never taken from the lost worker: its last statement had finished the job.
  const rescued = claims.filter((claim) => claim.rescuedAt !== undefined);
  for (const claim of rescued) if (!goesAlone(claim)) byKind[claim.kind].push(claim);
  return {
    figures: {
      kill: figuresOf(byKind.kill, outages),
      poison: figuresOf(byKind.poison, outages),
      zombie: figuresOf(byKind.zombie, outages),
      hole: figuresOf(byKind.hole, outages),
      alone: figuresOf(rescued.filter(goesAlone), outages),
    },
    rescuedLate: lateBy((claim) => claim.rescuedAt),
    takenLate: lateBy((claim) => claim.takenAt),
  };
}

function goesAlone({ crash_count }: LostClaim): boolean {
  return crash_count === 1;
}

function isLate(claim: LostClaim, span: { until: Date; outages: readonly Outage[] }): boolean {
  const tookMs = span.until.getTime() - claim.lostAt.getTime();
  return tookMs > PROMISED_MS + outageMs(claim, span.outages);
}

function describeLate(claim: LostClaim): Offence {
  const [rescuedMs] = since(claim, claim.rescuedAt);
  const [takenMs] = since(claim, claim.takenAt);
  const worker = `${claim.kind} of worker ${claim.pid} at ${claim.lostAt.toISOString()}`;
  const why = `rescued ${rescuedMs ?? "never"} and taken over ${takenMs ?? "never"} ms after the ${worker}`;
  return { id: claim.job_id, why };
}

function figuresOf(claims: readonly LostClaim[], outages: readonly Outage[]): TakeoverFigures {
  const undisturbed = claims.filter((claim) => outageMs(claim, outages) === 0);
  return {
    jobs: claims.length,
    in_outages: claims.length - undisturbed.length,
    rescued_ms: spreadOf(undisturbed.flatMap((claim) => since(claim, claim.rescuedAt))),
    taken_ms: spreadOf(undisturbed.flatMap((claim) => since(claim, claim.takenAt))),
  };
}

function since({ lostAt }: LostClaim, at: Date | undefined): number[] {
  return at === undefined ? [] : [at.getTime() - lostAt.getTime()];
}

/** How long the server was away between the loss and the takeover. */
function outageMs(claim: LostClaim, outages: readonly Outage[]): number {
  const end = (claim.takenAt ?? claim.heldUntil).getTime();
  const overlaps = outages.map(
    ({ from, until }) => Math.min(until.getTime(), end) - Math.max(from.getTime(), claim.lostAt.getTime()),
  );
  return overlaps.reduce((sum, ms) => sum + Math.max(0, ms), 0);
}
