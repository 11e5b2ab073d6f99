import { z } from "zod";
import { isTerminal, stageFrom, STATES, STATUSES, type State, type Status } from "../pipeline.ts";
import { one, type Queryable } from "../queryable.ts";

const eventRow = z.object({ type: z.string(), status: z.enum(STATUSES), state: z.enum(STATES), fence: z.number() });

const observedRow = z.object({
  state: z.enum(STATES),
  status: z.enum(STATUSES),
  fence: z.number(),
  retry_count: z.number(),
  crash_count: z.number(),
  holder: z.string().nullable(),
  /** Holds no longer, whoever has it: the session's or the stage's time is over. */
  is_stale: z.boolean(),
  document_status: z.enum(STATUSES),
  /** Rows of ready_jobs that stand for the job, and how many of them as it is now. */
  place_count: z.number(),
  current_place_count: z.number(),
  /** On a list of its session's claims. */
  is_listed: z.boolean(),
  /** Oldest first. */
  events: z.array(eventRow),
});

/** All that decides what may happen to a job, and its history; no clock times, so that two runs can be compared. */
export type ObservedJob = z.infer<typeof observedRow>;

export function observeJob(db: Queryable, jobId: string): Promise<ObservedJob> {
  return one(
    db,
    observedRow,
    `select j.state, j.status, j.fence, j.retry_count, j.crash_count, j.lease_session_id as holder,
       coalesce(j.lease_expires_at <= now() or s.ended_at is not null or s.expires_at <= now(), false) as is_stale,
       d.processing_status as document_status,
       (select count(*) from ${db.schema}.ready_jobs r where r.job_id = j.job_id) as place_count,
       (select count(*) from ${db.schema}.ready_jobs r where r.job_id = j.job_id and r.fence = j.fence
          and r.turn = j.turn and r.priority = j.priority and r.seq = j.seq) as current_place_count,
       exists (select from ${db.schema}.session_claims c
          where c.session_id = j.lease_session_id and j.job_id = any (c.job_ids)) as is_listed,
       (select jsonb_agg(jsonb_build_object('type', e.type, 'status', e.status, 'state', e.state, 'fence', e.fence)
          order by e.event_id)
        from ${db.schema}.events e where e.job_id = j.job_id) as events
     from ${db.schema}.upload_jobs j
     join ${db.schema}.documents d on d.document_id = j.document_id
     left join ${db.schema}.worker_sessions s on s.session_id = j.lease_session_id
     where j.job_id = $1`,
    [jobId],
  );
}

/**
 * What is wrong with a job, empty when nothing is: a status that its events do not tell, or tell twice, a fence that
 * fell, a step that nobody held, a document that says something else.
 */
export function findFaults(job: ObservedJob): string[] {
  const steps = job.events.filter((event) => event.type === "status");
  return [
    ...faultsOfSteps(steps.map((event) => event.status)),
    ...faultsOfFences([...job.events.map((event) => event.fence), job.fence]),
    ...steps.filter((step) => step.fence === 0).map((step) => `${step.status} was reached without a claim`),
    ...faultsOfEnd(job.events.map((event) => event.state)),
    ...((steps.at(-1)?.status ?? "uploaded") === job.status ? [] : [`the events do not lead to ${job.status}`]),
    ...(job.document_status === job.status ? [] : [`the document says ${job.document_status}`]),
    ...faultsOfPlace(job),
    ...((job.state === "working") === (job.holder !== null) ? [] : ["working and held are not the same"]),
  ];
}

/** Where claims look, and where the rescue does. */
function faultsOfPlace(job: ObservedJob): string[] {
  const expected = job.state === "queued" ? 1 : 0;
  return [
    ...(job.place_count === expected && job.current_place_count === expected
      ? []
      : [`${job.state} with ${job.place_count} places in ready_jobs, ${job.current_place_count} of them current`]),
    ...(job.state === "working" && !job.is_listed ? ["held and on no list of claims"] : []),
  ];
}

/** Changes of a job from one look to the next that no accepted statement makes. */
export function findIllegalChanges(before: ObservedJob, after: ObservedJob): string[] {
  const isNewHolder = after.holder !== null && after.holder !== before.holder;
  return [
    ...(after.fence < before.fence ? ["the fence fell"] : []),
    ...(isNewHolder && after.fence <= before.fence ? ["a new holder has no higher fence"] : []),
    ...(isTerminal(before.state) && JSON.stringify(after) !== JSON.stringify(before) ? ["a final job changed"] : []),
    ...(STATUSES.indexOf(after.status) < STATUSES.indexOf(before.status) ? ["the status went back"] : []),
    ...(after.events.length < before.events.length ? ["events were lost"] : []),
  ];
}

function faultsOfSteps(statuses: readonly Status[]): string[] {
  const reached: Status[] = ["uploaded", ...statuses];
  return statuses.flatMap((status, index) => {
    const previous = reached[index];
    return previous !== undefined && stageFrom(previous)?.to === status
      ? []
      : [`${status} after ${previous ?? "none"}`];
  });
}

function faultsOfFences(fences: readonly number[]): string[] {
  return fences.flatMap((fence, index) =>
    fence < (fences[index - 1] ?? 0) ? [`fence ${fence} after a higher one`] : [],
  );
}

function faultsOfEnd(states: readonly State[]): string[] {
  const early = states.slice(0, -1).filter((state) => state === "done");
  return early.map((state) => `something happened after ${state}`);
}
