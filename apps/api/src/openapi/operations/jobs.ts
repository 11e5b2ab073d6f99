import { API_PREFIX } from "../../contract/urls.ts";
import { CORRELATION_ID, CREATED_AT, JOB_ID, WORKING_JOB } from "../examples.ts";
import type { Operations } from "../operation.ts";

export const jobOperations: Operations = {
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
};
