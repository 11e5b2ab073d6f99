import { API_PREFIX } from "../../contract/urls.ts";
import { CANCELLED_JOB, CORRELATION_ID, CREATED_AT, JOB_ID, QUEUED_JOB, WORKING_JOB } from "../examples.ts";
import type { Operations } from "../operation.ts";

export const jobOperations: Operations = {
  [`GET ${API_PREFIX}/jobs`]: {
    id: "listJobs",
    tag: "jobs",
    access: "user",
    summary: "The user's jobs, newest first",
    codes: ["invalid_cursor"],
    answers: {
      200: {
        description: "A page of jobs; `next_cursor` is null at the end.",
        example: { jobs: [WORKING_JOB], next_cursor: null },
      },
    },
  },
  [`GET ${API_PREFIX}/jobs/{job_id}`]: {
    id: "getJob",
    tag: "jobs",
    access: "user",
    summary: "How far a job is",
    description:
      "`done`, `deadletter` and `cancelled` are ends; from the other states a job goes on by itself. A failed job keeps " +
      "the status that it reached, and `last_error` says why.",
    codes: ["job_not_found"],
    answers: { 200: { description: "The job.", example: WORKING_JOB } },
  },
  [`GET ${API_PREFIX}/jobs/{job_id}/events`]: {
    id: "listJobEvents",
    tag: "jobs",
    access: "user",
    summary: "A job's history, oldest first",
    codes: ["job_not_found"],
    answers: {
      200: {
        description: "A page of events; `next_cursor` is null at the end.",
        example: {
          events: [
            {
              event_id: 1,
              job_id: JOB_ID,
              type: "created",
              status: "uploaded",
              state: "waiting",
              fence: 0,
              code: null,
              detail: null,
              correlation_id: CORRELATION_ID,
              created_at: CREATED_AT,
            },
          ],
          next_cursor: null,
        },
      },
    },
  },
  [`GET ${API_PREFIX}/jobs/{job_id}/stream`]: {
    id: "streamJob",
    tag: "jobs",
    access: "user",
    headers: ["LastEventId"],
    summary: "A job's progress as it happens",
    description:
      "Server-sent events of the type `job`: the job as `GET /jobs/{job_id}` has it, with the `event` that brought it there " +
      "or null for progress alone. Comments keep the connection open. It ends with the job, or with the token.",
    codes: ["job_not_found", "too_many_streams", "streams_exhausted"],
    answers: {
      200: {
        description: "Messages, until the job is at its end.",
        example: `event: job\ndata: ${JSON.stringify({ ...WORKING_JOB, event: null })}\n\n`,
      },
      204: { description: "The job is at its end, and everything of it was told before." },
    },
  },
  [`POST ${API_PREFIX}/jobs/{job_id}/retry`]: {
    id: "retryJob",
    tag: "jobs",
    access: "user",
    headers: ["IdempotencyKey"],
    summary: "Try a failed job again",
    description: "Queues a failed, cancelled or backing-off job at the status that it has reached.",
    codes: ["job_not_found", "job_not_retryable", "job_not_newest", "upload_again", "uploads_in_flight_limit"],
    answers: { 202: { description: "The job, queued.", example: QUEUED_JOB, headers: ["Location"] } },
  },
  [`POST ${API_PREFIX}/jobs/{job_id}/cancel`]: {
    id: "cancelJob",
    tag: "jobs",
    access: "user",
    headers: ["IdempotencyKey"],
    summary: "End a job",
    description: "A worker that has it in hand writes nothing of it any more.",
    codes: ["job_not_found", "job_not_cancellable"],
    answers: { 202: { description: "The job, cancelled.", example: CANCELLED_JOB, headers: ["Location"] } },
  },
};
