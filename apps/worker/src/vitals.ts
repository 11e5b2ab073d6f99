/** What a worker process knows of its own life, in milliseconds ago; undefined: it has not happened yet. */
export interface Vitals {
  /** Since the process began to work. */
  started: number;
  /** Since a round ended, well or not. */
  round_ended: number | undefined;
  /** Since a round ended well: the queue was looked at, and what there was room for was claimed. */
  round_succeeded: number | undefined;
  /** Since a round of heartbeats ended well. */
  beat_succeeded: number | undefined;
  /** Whether it holds a session, without which it cannot claim. */
  has_session: boolean;
  job_count: number;
  is_stopping: boolean;
}

/** Why a worker counts as dead, or as unable to work. */
export interface Complaint {
  code: "loop_dead" | "cannot_claim" | "no_heartbeat" | "no_session" | "stopping" | "not_started";
  detail: string;
}

/** Longer than a statement may hang, which is 60 s, so that one slow round ends nobody. */
export const LOOP_DEAD_MS = 90_000;
/** A database that is away for longer may be back for others: a new process finds out. */
export const CANNOT_CLAIM_MS = 120_000;
/** Long after the lease has run out. */
export const NO_HEARTBEAT_MS = 120_000;
/** A worker whose last good round is older is not relied on just now. */
export const NOT_READY_MS = 20_000;

/** What a new process could mend; empty: leave this one alone. */
export function findDeadly(vitals: Vitals): Complaint[] {
  // What it stops doing when it is told to stop is no sign of death, and the platform ends it anyway.
  if (vitals.is_stopping) return [];
  const { started, round_ended = started, round_succeeded = started, beat_succeeded = started } = vitals;
  return [
    ...complainIf(round_ended > LOOP_DEAD_MS, "loop_dead", `No round has ended for ${seconds(round_ended)}.`),
    ...complainIf(
      round_succeeded > CANNOT_CLAIM_MS,
      "cannot_claim",
      `The queue could not be looked at for ${seconds(round_succeeded)}.`,
    ),
    ...complainIf(
      beat_succeeded > NO_HEARTBEAT_MS,
      "no_heartbeat",
      `No heartbeat has been taken for ${seconds(beat_succeeded)}.`,
    ),
  ];
}

/** Why this worker would not take up a job just now; empty: it would. */
export function findUnready(vitals: Vitals): Complaint[] {
  const { round_succeeded, has_session, is_stopping } = vitals;
  if (is_stopping) return [{ code: "stopping", detail: "The worker was told to stop." }];
  if (round_succeeded === undefined) return [{ code: "not_started", detail: "The queue has not been looked at yet." }];
  return [
    ...findDeadly(vitals),
    ...complainIf(
      round_succeeded > NOT_READY_MS && round_succeeded <= CANNOT_CLAIM_MS,
      "cannot_claim",
      `The queue could not be looked at for ${seconds(round_succeeded)}.`,
    ),
    ...complainIf(!has_session, "no_session", "The worker has no session; it opens one with its next round."),
  ];
}

function complainIf(isSo: boolean, code: Complaint["code"], detail: string): Complaint[] {
  return isSo ? [{ code, detail }] : [];
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1_000)} s`;
}
