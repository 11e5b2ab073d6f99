import { z } from "zod";
import { STATES, STATUSES, type State, type Status } from "./pipeline.ts";
import type { Queryable } from "./queryable.ts";

/** Jobs of one kind. */
export interface QueueCount {
  job_count: number;
  /** Seconds since the oldest of them was created; null where there is none. */
  oldest_seconds: number | null;
  /** Seconds since the one that changed longest ago did; null where there is none. */
  idle_seconds: number | null;
}

export interface QueueStats {
  /** Every state, those without a job too. */
  by_state: (QueueCount & { state: State })[];
  /** Every status, of jobs that are not at their end. */
  by_status: (QueueCount & { status: Status })[];
  /** Waiting and retryable jobs whose time has come. */
  due_count: number;
}

const groupRow = z.object({
  state: z.enum(STATES),
  status: z.enum(STATUSES),
  job_count: z.number(),
  oldest_seconds: z.number(),
  idle_seconds: z.number(),
  due_count: z.number(),
  is_unfinished: z.boolean(),
});
type Group = z.infer<typeof groupRow>;

/** What is in the queue, from one look at every job. */
export async function getQueueStats(db: Queryable): Promise<QueueStats> {
  const groups = await db.many(
    groupRow,
    `select state, status, count(*) as job_count, count(*) filter (where due_at <= now()) as due_count,
       extract(epoch from now() - min(created_at))::float8 as oldest_seconds,
       extract(epoch from now() - min(updated_at))::float8 as idle_seconds,
       state not in ('done', 'deadletter', 'cancelled') as is_unfinished
     from ${db.schema}.upload_jobs group by state, status`,
  );
  const unfinished = groups.filter((group) => group.is_unfinished);
  return {
    by_state: STATES.map((state) =>
      addUp(
        { state },
        groups.filter((group) => group.state === state),
      ),
    ),
    by_status: STATUSES.map((status) =>
      addUp(
        { status },
        unfinished.filter((group) => group.status === status),
      ),
    ),
    due_count: groups.reduce((sum, group) => sum + group.due_count, 0),
  };
}

function addUp<T>(kind: T, groups: readonly Group[]): T & QueueCount {
  return {
    ...kind,
    job_count: groups.reduce((sum, group) => sum + group.job_count, 0),
    oldest_seconds: greatest(groups.map((group) => group.oldest_seconds)),
    idle_seconds: greatest(groups.map((group) => group.idle_seconds)),
  };
}

function greatest(seconds: readonly number[]): number | null {
  return seconds.length === 0 ? null : Math.max(...seconds);
}
