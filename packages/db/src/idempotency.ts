import { z } from "zod";
import { maybeOne, type Queryable } from "./queryable.ts";
import { jsonObject } from "./rows.ts";

/** A request that may be repeated, and what tells it from another. */
export interface RepeatableRequest {
  user_id: string;
  key_digest: string;
  request_digest: string;
}

/** What was answered; links are not in it. */
const answerRow = z.object({
  status_code: z.number(),
  location: z.string().nullable(),
  body: jsonObject,
});
export type KeptAnswer = z.infer<typeof answerRow>;

export type KeyClaim =
  | { outcome: "claimed" }
  | { outcome: "answered"; answer: KeptAnswer }
  | { outcome: "in_use" }
  /** The same key, for another request. */
  | { outcome: "reused" };

const KEPT_HOURS = 24;

/**
 * Takes the key for this request, or says what became of it. A request whose process died keeps its key for `leaseMs`;
 * an answered one for a day.
 */
export async function claimKey(db: Queryable, request: RepeatableRequest, leaseMs: number): Promise<KeyClaim> {
  const claimed = await db.run(
    `insert into ${db.schema}.idempotency_keys as k (user_id, key_digest, request_digest, lease_expires_at)
     values ($1, $2, $3, now() + $4::float8 * interval '1 ms')
     on conflict (user_id, key_digest) do update
       set request_digest = excluded.request_digest, created_at = now(), lease_expires_at = excluded.lease_expires_at,
           answered_at = null, status_code = null, location = null, body = null
       where k.created_at < now() - interval '${KEPT_HOURS} hours'
         or (k.answered_at is null and k.lease_expires_at < now() and k.request_digest = excluded.request_digest)`,
    [request.user_id, request.key_digest, request.request_digest, leaseMs],
  );
  return claimed > 0 ? { outcome: "claimed" } : readClaim(db, request);
}

async function readClaim(db: Queryable, request: RepeatableRequest): Promise<KeyClaim> {
  const kept = await maybeOne(
    db,
    z.object({ is_same: z.boolean(), answer: answerRow.nullable() }),
    `select request_digest = $3 as is_same, case when answered_at is not null then
       jsonb_build_object('status_code', status_code, 'location', location, 'body', body) end as answer
     from ${db.schema}.idempotency_keys where user_id = $1 and key_digest = $2`,
    [request.user_id, request.key_digest, request.request_digest],
  );
  if (!kept) return { outcome: "in_use" };
  if (!kept.is_same) return { outcome: "reused" };
  return kept.answer === null ? { outcome: "in_use" } : { outcome: "answered", answer: kept.answer };
}

/** False: the key is this request's no more, for another has answered. In a transaction with the work, that has to end it. */
export async function keepAnswer(db: Queryable, request: RepeatableRequest, answer: KeptAnswer): Promise<boolean> {
  const kept = await db.run(
    `update ${db.schema}.idempotency_keys
     set answered_at = now(), status_code = $4, location = $5, body = $6::jsonb
     where user_id = $1 and key_digest = $2 and request_digest = $3 and answered_at is null`,
    [
      request.user_id,
      request.key_digest,
      request.request_digest,
      answer.status_code,
      answer.location,
      JSON.stringify(answer.body),
    ],
  );
  return kept > 0;
}

/** Takes an answered key again, for an answer that holds no more; false: another request has just done so. */
export async function retakeKey(db: Queryable, request: RepeatableRequest, leaseMs: number): Promise<boolean> {
  const retaken = await db.run(
    `update ${db.schema}.idempotency_keys
     set lease_expires_at = now() + $4::float8 * interval '1 ms', answered_at = null, status_code = null,
         location = null, body = null
     where user_id = $1 and key_digest = $2 and request_digest = $3 and answered_at is not null`,
    [request.user_id, request.key_digest, request.request_digest, leaseMs],
  );
  return retaken > 0;
}

/** For a request that changed nothing: the same one may be tried again. */
export async function releaseKey(db: Queryable, request: RepeatableRequest): Promise<void> {
  await db.run(
    `delete from ${db.schema}.idempotency_keys
     where user_id = $1 and key_digest = $2 and request_digest = $3 and answered_at is null`,
    [request.user_id, request.key_digest, request.request_digest],
  );
}

/** Deletes the keys that count no more, `limit` in one statement until all are gone; answers how many went. */
export async function deleteOldKeys(db: Queryable, limit: number): Promise<number> {
  let deleted = 0;
  for (;;) {
    const count = await deleteSomeKeys(db, limit);
    deleted += count;
    if (count < limit) return deleted;
  }
}

function deleteSomeKeys(db: Queryable, limit: number): Promise<number> {
  return db.run(
    `delete from ${db.schema}.idempotency_keys k
     where k.ctid = any (array(
       select o.ctid from ${db.schema}.idempotency_keys o
       where o.created_at < now() - interval '${KEPT_HOURS} hours' order by o.created_at limit $1))`,
    [limit],
  );
}
