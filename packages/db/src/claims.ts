import { LEASE_MS_BY_STATUS } from "./leases.ts";
import type { Database } from "./database.ts";
import type { Queryable } from "./queryable.ts";
import { claimRow, type Claim } from "./rows.ts";

export interface ClaimRequest {
  /** Live, or nothing is claimed. */
  session_id: string;
  /** Most jobs to take. */
  limit: number;
  /** Only jobs of this turn and later ones are looked at: a hint that saves time, see `createClaimer`. */
  fromTurn?: number | undefined;
  /** Most jobs of one user in the hands of all workers together. Needs a transaction around the call. */
  maxPerUser?: number | undefined;
}

/**
 * Takes up to `limit` queued jobs in fair order for a live session and raises their fences. Answers fewer when fewer
 * are free, none when the session has expired or claiming is paused.
 */
export async function claimJobs(db: Queryable, request: ClaimRequest): Promise<Claim[]> {
  const { session_id, limit, fromTurn = 0, maxPerUser = null } = request;
  if (maxPerUser !== null) await lockCappedClaims(db);
  return db.many(
    claimRow,
    `select job_id, document_id, user_id, correlation_id, status, fence, generation, retry_count, age_seconds,
       upload_is_expired, turn, priority, seq, filename, mime, bytes_len, file_sha256, raw_path, title
     from ${db.schema}.claim_jobs($1, $2, $3, $4, $5)`,
    [session_id, limit, LEASE_MS_BY_STATUS, fromTurn, maxPerUser],
    { prepare: true },
  );
}

export interface Claimer {
  /** `claimJobs`, with what was learnt from earlier calls. */
  claim(request: Omit<ClaimRequest, "fromTurn">): Promise<Claim[]>;
}

/** How long a job that became claimable before the turn now being served may be overlooked. */
const OVERLOOKED_MS = 1_000;

/**
 * Claims for one process. It goes on at the turn where its last claim ended, so that rows that were removed from the queue
 * before that cost nothing: while some transaction keeps old rows visible, they are not cleared away, and each claim would
 * read all of them. Because turns are given out and become visible out of order, it starts over when a claim comes short,
 * for the rest of it, and at least every second.
 */
export function createClaimer(database: Database): Claimer {
  let fromTurn: number | undefined;
  let startedOverAt = Number.NEGATIVE_INFINITY;

  const claimFrom = async (turn: number | undefined, request: ClaimRequest): Promise<Claim[]> => {
    if (turn === undefined) startedOverAt = performance.now();
    const claims = await claimJobs(database, { ...request, fromTurn: turn });
    fromTurn = claims.length < request.limit ? undefined : claims.at(-1)?.turn;
    return claims;
  };
  return {
    claim: async (request) => {
      if (request.maxPerUser !== undefined) return database.transaction((tx) => claimJobs(tx, request));
      const turn = performance.now() - startedOverAt > OVERLOOKED_MS ? undefined : fromTurn;
      const claims = await claimFrom(turn, request);
      if (turn === undefined || claims.length === request.limit) return claims;
      return [...claims, ...(await claimFrom(undefined, { ...request, limit: request.limit - claims.length }))];
    },
  };
}

/** Claims under a cap take turns, because each must see what the others took; in a statement before the one that counts. */
async function lockCappedClaims(tx: Queryable): Promise<void> {
  await tx.run("select pg_advisory_xact_lock(hashtextextended($1, 0))", [`${tx.schema} capped claims`]);
}
