/**
 * The one pipeline table. Types, the database's CHECKs and trigger, the API's schemas, progress and the chart in
 * ARCHITECTURE.md derive from it or are tested to equal it.
 */
export const STAGES = [
  { stage: "verify", from: "uploaded", to: "parsing", percent: 5, deadlineMs: 120_000 },
  { stage: "parse", from: "parsing", to: "parsed", percent: 35, deadlineMs: 600_000 },
  { stage: "validate", from: "parsed", to: "parse_validated", percent: 40, deadlineMs: 120_000 },
  { stage: "plan_chunks", from: "parse_validated", to: "chunking", percent: 42, deadlineMs: 60_000 },
  { stage: "chunk", from: "chunking", to: "chunks_stored", percent: 55, deadlineMs: 300_000 },
  { stage: "plan_embedding", from: "chunks_stored", to: "embedding_queued", percent: 57, deadlineMs: 60_000 },
  { stage: "start_embedding", from: "embedding_queued", to: "embedding_in_progress", percent: 60, deadlineMs: 60_000 },
  { stage: "embed", from: "embedding_in_progress", to: "embeddings_stored", percent: 97, deadlineMs: 1_800_000 },
  { stage: "publish", from: "embeddings_stored", to: "complete", percent: 100, deadlineMs: 120_000 },
] as const;

/** One step of the walk from one status to the next; `percent` is the progress once it has been made. */
export type StageDefinition = (typeof STAGES)[number];
export type Stage = StageDefinition["stage"];

/** Last durable step of a job, in the only order in which they are reached. */
export const STATUSES = [
  "uploaded",
  "parsing",
  "parsed",
  "parse_validated",
  "chunking",
  "chunks_stored",
  "embedding_queued",
  "embedding_in_progress",
  "embeddings_stored",
  "complete",
] as const;
export type Status = (typeof STATUSES)[number];

/** Who may act on a job. */
export const STATES = ["queued", "working", "waiting", "retryable", "done", "deadletter", "cancelled"] as const;
export type State = (typeof STATES)[number];

export const TERMINAL_STATES = ["done", "deadletter", "cancelled"] as const satisfies readonly State[];

/** What a `waiting` job waits for. */
export const WAITING_FOR = ["upload", "parser"] as const;
export type WaitingFor = (typeof WAITING_FOR)[number];

/**
 * Legal changes of state. Staying in a state is legal unless it is terminal. Only `working` may move the status, by
 * exactly one step; leaving a terminal state is a redrive.
 */
export const STATE_EDGES: Readonly<Record<State, readonly State[]>> = {
  queued: ["working", "cancelled"],
  working: ["queued", "waiting", "retryable", "done", "deadletter", "cancelled"],
  waiting: ["queued", "cancelled"],
  retryable: ["queued", "cancelled"],
  done: [],
  deadletter: ["queued"],
  cancelled: ["queued"],
};

/** What an event tells; `status` events are the ten steps, the others say why a job moved or stopped. */
export const EVENT_TYPES = [
  "created",
  "upload_confirmed",
  "upload_renewed",
  "status",
  "waiting",
  "retry_scheduled",
  "released",
  "rescued",
  "deadlettered",
  "cancelled",
  "redriven",
] as const;
export type EventType = (typeof EVENT_TYPES)[number];

/** The stage that moves a job on from this status; undefined once it is complete. */
export function stageFrom(status: Status): StageDefinition | undefined {
  return STAGES.find((definition) => definition.from === status);
}

export function isTerminal(state: State): boolean {
  return TERMINAL_STATES.some((terminal) => terminal === state);
}

/**
 * Progress of a job in percent, 0 to 100: the weight of the last status, plus the share of the running stage that its
 * counters (`pages_done` of `pages_total`, `chunks_done` of `chunks_total`) say is done.
 */
export function progressPercent(status: Status, counters: ProgressCounters): number {
  const next = stageFrom(status);
  if (!next) return 100;
  const reached = STAGES.find((definition) => definition.to === status)?.percent ?? 0;
  const share = stageShare(next.stage, counters);
  return Math.floor(reached + (next.percent - reached) * share);
}

export interface ProgressCounters {
  pages_done?: number | undefined;
  pages_total?: number | undefined;
  /** Pages that could not be read and are empty; left out where there are none. */
  pages_failed?: number | undefined;
  chunks_done?: number | undefined;
  chunks_total?: number | undefined;
}

function stageShare(stage: Stage, counters: ProgressCounters): number {
  if (stage === "parse") return ratio(counters.pages_done, counters.pages_total);
  if (stage === "embed") return ratio(counters.chunks_done, counters.chunks_total);
  return 0;
}

function ratio(done = 0, total = 0): number {
  return total > 0 ? Math.min(1, Math.max(0, done / total)) : 0;
}
