import { type AlertFigures, MIN_REQUESTS } from "./alert-figures.ts";

export const SEVERITIES = ["warning", "critical"] as const;
export type Severity = (typeof SEVERITIES)[number];

export const UNITS = ["jobs", "seconds", "share", "processes", "differences"] as const;
export type Unit = (typeof UNITS)[number];

export const OPERATORS = [">", ">=", "<"] as const;

export interface AlertRule {
  name: string;
  severity: Severity;
  /** What is wrong, for people. */
  title: string;
  /** What to do first. */
  advice: string;
  unit: Unit;
  /** The condition: value, operator, threshold. */
  operator: (typeof OPERATORS)[number];
  threshold: number;
  /** Cleared once the value no longer stands so to this one. */
  clearThreshold: number;
  /** How long the condition holds before anybody is told, and how long it is over before that is told. */
  forSeconds: number;
  clearForSeconds: number;
  /** Null: it cannot be told, or does not apply; then the condition does not hold. */
  read: (figures: AlertFigures) => number | null;
}

/** An alert that goes on is told again after so long. */
export const REMINDER_SECONDS = 4 * 3_600;

/** The thresholds of the operators' guide. */
export const ALERT_RULES = [
  {
    name: "queue_backlog",
    severity: "warning",
    title: "Too many jobs wait for a worker",
    advice: "Start more workers, or see whether claiming is paused.",
    unit: "jobs",
    operator: ">",
    threshold: 100,
    clearThreshold: 80,
    forSeconds: 60,
    clearForSeconds: 60,
    read: ({ queue }) => queue.queued_count,
  },
  {
    name: "queue_waiting",
    severity: "warning",
    title: "A job has waited for a worker for too long, though one lives or claiming is paused",
    advice: "If claiming is paused, `pnpm jobs resume`; else see what the workers do, and start more.",
    unit: "seconds",
    operator: ">",
    threshold: 300,
    clearThreshold: 240,
    forSeconds: 60,
    clearForSeconds: 60,
    // Without a worker no_live_worker tells.
    read: ({ queue }) => (queue.live_worker_count > 0 || queue.is_paused ? queue.queued_seconds : null),
  },
  {
    name: "slow_job",
    severity: "warning",
    title: "A job has been in processing for too long",
    advice: "`pnpm jobs ls --state working` and the parsing provider's status tell which and why.",
    unit: "seconds",
    operator: ">",
    threshold: 300,
    clearThreshold: 240,
    forSeconds: 0,
    clearForSeconds: 60,
    read: ({ queue }) => queue.processing_seconds,
  },
  {
    name: "api_latency",
    severity: "warning",
    title: "The API answers slowly (95th percentile of five minutes, all instances)",
    advice: "See which route is slow in the dashboard, then the database's load and the pool's waiting requests.",
    unit: "seconds",
    operator: ">",
    threshold: 2,
    clearThreshold: 1.6,
    forSeconds: 60,
    clearForSeconds: 120,
    read: ({ api }) => (api.request_count < MIN_REQUESTS ? null : api.p95_seconds),
  },
  {
    name: "api_errors",
    severity: "critical",
    title: "The API fails (share of 5xx answers of five minutes, all instances)",
    advice: "The request log has a code on every failed request.",
    unit: "share",
    operator: ">",
    threshold: 0.05,
    clearThreshold: 0.04,
    forSeconds: 60,
    clearForSeconds: 120,
    read: ({ api }) => (api.request_count < MIN_REQUESTS ? null : api.error_count / api.request_count),
  },
  {
    name: "no_live_worker",
    severity: "critical",
    title: "No worker is alive",
    advice: "Uploads are taken and nobody works on them. If a worker runs, compare its fingerprint with the API's.",
    unit: "processes",
    operator: "<",
    threshold: 1,
    clearThreshold: 1,
    forSeconds: 15,
    clearForSeconds: 15,
    read: ({ queue }) => queue.live_worker_count,
  },
  {
    name: "no_live_api",
    severity: "critical",
    title: "No API is alive on this database",
    advice: "If an API runs, compare its fingerprint with the workers'.",
    unit: "processes",
    operator: "<",
    threshold: 1,
    clearThreshold: 1,
    forSeconds: 60,
    clearForSeconds: 15,
    read: ({ live_api_count }) => live_api_count,
  },
  {
    name: "services_differ",
    severity: "critical",
    title: "Processes on this database do not fit together",
    advice: "`/health` says in what they differ. A deployment in progress clears by itself.",
    unit: "differences",
    operator: ">",
    threshold: 0,
    clearThreshold: 0,
    forSeconds: 300,
    clearForSeconds: 30,
    read: ({ difference_count }) => difference_count,
  },
  {
    name: "dead_letters",
    severity: "warning",
    title: "Jobs keep failing for good (in the last 15 minutes)",
    advice: "`pnpm jobs ls --state deadletter` shows why; `pnpm jobs redrive` tries them again.",
    unit: "jobs",
    operator: ">",
    threshold: 10,
    clearThreshold: 5,
    forSeconds: 0,
    clearForSeconds: 60,
    read: ({ queue }) => queue.recent_deadletter_count,
  },
  {
    name: "provider_out_of_order",
    severity: "critical",
    title: "The parsing or the embedding provider is out of order, and all that needs it waits",
    advice:
      "`/health` says which and why. An account, a key or a model is an operator's matter; an outage passes by itself.",
    unit: "seconds",
    operator: ">",
    threshold: 120,
    clearThreshold: 120,
    forSeconds: 0,
    clearForSeconds: 15,
    read: ({ outage_seconds }) => outage_seconds,
  },
  {
    name: "jobs_set_aside",
    severity: "warning",
    title: "A job has been set aside for too long, through no fault of its own",
    advice: "`pnpm jobs ls --state retryable` shows for what: a provider, its rate limits, a budget.",
    unit: "seconds",
    operator: ">",
    threshold: 1_800,
    clearThreshold: 1_800,
    forSeconds: 0,
    // Each look at what is in the way takes the job out of its state for a while.
    clearForSeconds: 300,
    read: ({ queue }) => queue.set_aside_seconds,
  },
  {
    name: "budget",
    severity: "warning",
    title: "Most of today's budget is spent or set aside",
    advice: "`pnpm jobs spending` shows for what. At 100 % paid work waits for the next day.",
    unit: "share",
    operator: ">=",
    threshold: 0.8,
    clearThreshold: 0.7,
    forSeconds: 0,
    clearForSeconds: 300,
    read: ({ budget_share }) => budget_share,
  },
] as const satisfies readonly AlertRule[];

/**
 * Looked at by every process for itself, because it cannot ask the database about it. The value is the time since the
 * database last answered.
 */
export const DATABASE_RULE = {
  name: "database_unreachable",
  severity: "critical",
  title: "The database cannot be reached",
  advice: "See whether the database runs and whether its address and password are right.",
  unit: "seconds",
  operator: ">=",
  threshold: 30,
  clearThreshold: 30,
  forSeconds: 0,
  clearForSeconds: 15,
  read: () => null,
} as const satisfies AlertRule;

/**
 * Processes that did not look at the alerts when the database went away hold back for so long, so that one of them tells.
 * They cannot know whether it did, so then they tell as well.
 */
export const OTHERS_HOLD_BACK_SECONDS = 300;

export const EVERY_RULE: readonly AlertRule[] = [...ALERT_RULES, DATABASE_RULE];
