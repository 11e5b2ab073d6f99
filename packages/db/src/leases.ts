import { stageFrom, STAGES, type Status } from "./pipeline.ts";

/** How long past its own deadline a stage may hold a job before others take it: time for the worker to give it up. */
const LEASE_GRACE_MS = 15_000;

/** jsonb of status → milliseconds that the stage starting there may hold the job. */
export const LEASE_MS_BY_STATUS = JSON.stringify(
  Object.fromEntries(STAGES.map((definition) => [definition.from, leaseMs(definition.from)])),
);

/** Milliseconds that the stage starting at `status` may hold a job; null behind the last. */
export function leaseMs(status: Status): number | null {
  const stage = stageFrom(status);
  return stage === undefined ? null : stage.deadlineMs + LEASE_GRACE_MS;
}
