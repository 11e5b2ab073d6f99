import { API_PREFIX } from "../../contract/urls.ts";
import {
  CANCELLED_JOB,
  CORRELATION_ID,
  CREATED_AT,
  FILENAME,
  JOB_ID,
  QUEUED_JOB,
  UPDATED_AT,
  WORKING_JOB,
} from "../examples.ts";
import type { Operations } from "../operation.ts";

const ADMIN = `${API_PREFIX}/admin`;

const OWNER_ID = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
const SESSION_ID = "5b1f8d2c-3e4a-4c6b-9d70-8a1e2f3b4c5d";
const LISTED = { user_id: OWNER_ID, filename: FILENAME };
const RUNNING = { paused_at: null, paused_by: null, reason: null };

const DEAD_JOB = {
  ...WORKING_JOB,
  status: "parsing",
  state: "deadletter",
  progress: { percent: 5 },
  last_error: {
    stage: "parse",
    code: "damaged_file",
    message: "The file is damaged.",
    retryable: false,
    at: UPDATED_AT,
  },
  finished_at: UPDATED_AT,
};

export const adminOperations: Operations = {
  [`GET ${ADMIN}/queue`]: {
    id: "getQueue",
    tag: "admin",
    access: "service",
    summary: "What is in the queue",
    answers: {
      200: {
        description: "Jobs by state and status, live workers, and whether they claim.",
        example: {
          by_state: [{ state: "queued", job_count: 12, oldest_seconds: 31.5, idle_seconds: 31.5 }],
          by_status: [{ status: "uploaded", job_count: 12, oldest_seconds: 31.5, idle_seconds: 31.5 }],
          due_count: 0,
          live_worker_count: 2,
          control: RUNNING,
        },
      },
    },
  },
  [`GET ${ADMIN}/alerts`]: {
    id: "listAlerts",
    tag: "admin",
    access: "service",
    summary: "Every alert and how it stands",
    answers: {
      200: {
        description: "One process at a time looks at them; the webhook tells changes.",
        example: {
          alerts: [
            {
              name: "queue_backlog",
              severity: "warning",
              title: "Too many jobs wait for a worker",
              advice: "Start more workers, or see whether claiming is paused.",
              state: "firing",
              since: UPDATED_AT,
              value: 140,
              unit: "jobs",
              operator: ">",
              threshold: 100,
              notified_at: UPDATED_AT,
              cleared_at: null,
            },
          ],
          differences: [],
          evaluated_at: UPDATED_AT,
        },
      },
    },
  },
  [`GET ${ADMIN}/workers`]: {
    id: "listWorkers",
    tag: "admin",
    access: "service",
    summary: "Runs of workers, those alive first",
    answers: {
      200: {
        description: "Runs, with how many jobs each holds.",
        example: {
          workers: [
            {
              session_id: SESSION_ID,
              worker_name: "worker-1",
              hostname: "worker-7f9c",
              pid: 17,
              started_at: CREATED_AT,
              heartbeat_at: UPDATED_AT,
              expires_at: UPDATED_AT,
              ended_at: null,
              is_live: true,
              job_count: 4,
            },
          ],
        },
      },
    },
  },
  [`GET ${ADMIN}/jobs`]: {
    id: "listAllJobs",
    tag: "admin",
    access: "service",
    summary: "Everybody's jobs, newest first",
    codes: ["invalid_cursor"],
    answers: {
      200: {
        description: "A page of jobs; `next_cursor` is null at the end.",
        example: { jobs: [{ ...WORKING_JOB, ...LISTED }], next_cursor: null },
      },
    },
  },
  [`GET ${ADMIN}/jobs/{job_id}`]: {
    id: "getAnyJob",
    tag: "admin",
    access: "service",
    summary: "Everything about a job of any user",
    codes: ["job_not_found"],
    answers: {
      200: {
        description: "The job, and a page of its history.",
        example: {
          job: {
            ...WORKING_JOB,
            ...LISTED,
            generation: 1,
            priority: 100,
            turn: 42,
            fence: 1,
            crash_count: 0,
            lease_session_id: SESSION_ID,
            lease_expires_at: UPDATED_AT,
            worker_name: "worker-1",
            mime: "application/pdf",
            bytes_len: 482_133,
            live_generation: null,
            is_newest: true,
          },
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
  [`POST ${ADMIN}/jobs/{job_id}/retry`]: {
    id: "retryAnyJob",
    tag: "admin",
    access: "service",
    summary: "Try a failed job of any user again",
    codes: ["job_not_found", "job_not_retryable", "job_not_newest", "upload_again"],
    answers: { 202: { description: "The job, queued.", example: QUEUED_JOB, headers: ["Location"] } },
  },
  [`POST ${ADMIN}/jobs/{job_id}/cancel`]: {
    id: "cancelAnyJob",
    tag: "admin",
    access: "service",
    summary: "End a job of any user",
    codes: ["job_not_found", "job_not_cancellable"],
    answers: { 202: { description: "The job, cancelled.", example: CANCELLED_JOB, headers: ["Location"] } },
  },
  [`GET ${ADMIN}/dead-letters`]: {
    id: "listDeadLetters",
    tag: "admin",
    access: "service",
    summary: "Dead letters, oldest job first",
    codes: ["invalid_cursor"],
    answers: {
      200: {
        description: "A page of dead letters; `next_cursor` is null at the end.",
        example: { dead_letters: [{ ...DEAD_JOB, ...LISTED, needs_upload: false }], next_cursor: null },
      },
    },
  },
  [`POST ${ADMIN}/redrive`]: {
    id: "redriveJobs",
    tag: "admin",
    access: "service",
    summary: "Queue dead letters again",
    description: "Left out is what only a new upload can help. It takes a filter, or `all: true`.",
    body: { code: "llamaparse_unavailable", limit: 500 },
    answers: {
      200: {
        description: "What is queued again; while `may_have_more` is true the same request finds the next.",
        example: { job_ids: [JOB_ID], may_have_more: false },
      },
    },
  },
  [`POST ${ADMIN}/pause`]: {
    id: "pauseClaims",
    tag: "admin",
    access: "service",
    summary: "Stop workers from claiming",
    description: "Jobs in hand go on.",
    body: { by: "Ada", reason: "Maintenance of the database" },
    answers: {
      200: {
        description: "Paused.",
        example: { paused_at: UPDATED_AT, paused_by: "Ada", reason: "Maintenance of the database" },
      },
    },
  },
  [`POST ${ADMIN}/resume`]: {
    id: "resumeClaims",
    tag: "admin",
    access: "service",
    summary: "Let workers claim again",
    answers: { 200: { description: "Running.", example: RUNNING } },
  },
  [`GET ${ADMIN}/spending`]: {
    id: "getSpending",
    tag: "admin",
    access: "service",
    summary: "What was paid to providers",
    answers: {
      200: {
        description: "Today's sums, and days by provider and model, newest first.",
        example: {
          today: { spent_usd: 1.84, reserved_usd: 0.02, warned_budget_usd: null },
          days: [
            {
              day: "2026-03-02",
              provider: "openai",
              model: "text-embedding-3-small",
              user_count: 12,
              request_count: 310,
              token_count: 920_400,
              page_count: 0,
              cost_usd: 0.0184,
              lost_request_count: 0,
              lost_usd: 0,
            },
          ],
        },
      },
    },
  },
};
