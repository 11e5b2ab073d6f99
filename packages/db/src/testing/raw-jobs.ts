import { z } from "zod";
import type { Database } from "../database.ts";
import { isTerminal, type State, type Status } from "../pipeline.ts";
import { one, type Queryable } from "../queryable.ts";
import { uploadPromise } from "./factories.ts";

/** Columns that the CHECKs tie to a state, as SQL. */
export function stateColumns(state: State): Record<string, string> {
  const isDue = state === "waiting" || state === "retryable";
  const hasError = state === "retryable" || state === "deadletter";
  return {
    state: `'${state}'`,
    lease_session_id: state === "working" ? "gen_random_uuid()" : "null",
    lease_expires_at: state === "working" ? "now() + interval '1 hour'" : "null",
    due_at: isDue ? "now()" : "null",
    waiting_for: state === "waiting" ? "'upload'" : "null",
    finished_at: isTerminal(state) ? "now()" : "null",
    last_error: hasError ? `'${JSON.stringify(SOME_ERROR)}'` : "null",
  };
}

/** A job in any state and status, without the walk that leads there. Answers its id. */
export async function insertJobInState(
  db: Queryable,
  job: { state: State; status: Status; user_id?: string },
): Promise<string> {
  const promise = uploadPromise(job.user_id === undefined ? {} : { user_id: job.user_id });
  await db.run(
    `insert into ${db.schema}.documents (document_id, user_id, filename, mime, bytes_len, file_sha256, raw_path, generation_count)
     values ($1, $2, 'letter.txt', 'text/plain', 12, $3, 'somewhere', 1)`,
    [promise.document_id, promise.user_id, promise.file_sha256],
  );
  const columns = stateColumns(job.state);
  const row = await one(
    db,
    z.object({ job_id: z.string() }),
    `insert into ${db.schema}.upload_jobs (document_id, user_id, correlation_id, generation, turn, fence, status,
       ${Object.keys(columns).join(", ")})
     values ($1, $2, 'test', 1, 1, 5, $3, ${Object.values(columns).join(", ")})
     returning job_id`,
    [promise.document_id, promise.user_id, job.status],
  );
  return row.job_id;
}

/** Many queued jobs of one user, in two statements, as an operator would insert them. */
export async function queueInBulk(database: Database, input: { user_id: string; count: number }): Promise<void> {
  await database.transaction(async (tx) => {
    const documents = await tx.many(
      z.object({ document_id: z.string() }),
      `insert into ${tx.schema}.documents (document_id, user_id, filename, mime, bytes_len, file_sha256, raw_path)
       select gen_random_uuid(), $1, 'letter.txt', 'text/plain', 12, gen_random_uuid()::text, 'somewhere'
       from generate_series(1, $2::int)
       returning document_id`,
      [input.user_id, input.count],
    );
    await tx.run(`insert into ${tx.schema}.upload_jobs (document_id) select * from unnest($1::uuid[])`, [
      documents.map((document) => document.document_id),
    ]);
  });
}

const SOME_ERROR = { stage: "verify", code: "test", message: "A test.", retryable: true, at: "2026-01-01T00:00:00Z" };
