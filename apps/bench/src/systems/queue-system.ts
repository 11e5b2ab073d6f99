/** Connections of one worker process, the same for every system; LISTEN connections are not counted. */
export const POOL_SIZE = 10;

export interface Backlog {
  docs: number;
  /** How many stages each document goes through. */
  stages: number;
}

export interface Work {
  stages: number;
  /** How long each stage's handler takes; 0 is a handler that does nothing. */
  handlerMs: number;
  /** The first claim or the first stage begins. */
  onStart: () => void;
  /** A document went through all its stages. */
  onComplete: (id: string) => void;
}

export interface RunningWorker {
  stop(): Promise<void>;
}

export interface Producer {
  /** Resolves when the document is durably in the queue, with the id that the worker will report. */
  enqueue(): Promise<string>;
  close(): Promise<void>;
}

/** One queue, in one set of settings, as its users would drive it. */
export interface QueueSystem {
  /** Creates the schema in an empty database. */
  prepare(url: string): Promise<void>;
  /** Puts documents into the queue before anything is measured. */
  fill(url: string, backlog: Backlog): Promise<void>;
  openProducer(url: string, upcoming: Backlog): Promise<Producer>;
  startWorker(url: string, work: Work): Promise<RunningWorker>;
  /** Answers one row with one column `unfinished`: documents or jobs that are not durably done. */
  unfinishedSql: string;
}
