import { PassThrough, type Readable } from "node:stream";
import {
  type ChangedJob,
  isTerminal,
  jobNotFound,
  listChangedJobs,
  listGoneJobs,
  MOST_EVENTS,
  type Queryable,
} from "@pipeline/db";
import type { Logger } from "@pipeline/runtime";
import { formatMessage, HEARTBEAT, STREAM_START } from "./job-message.ts";
import { createStreamSlots, type StreamLimits } from "./stream-slots.ts";

export interface StreamSettings extends StreamLimits {
  /** How often the jobs of all streams are asked for, in one statement. */
  pollMs: number;
  heartbeatMs: number;
}

export interface StreamRequest {
  job_id: string;
  user_id: string;
  /** The last event that the client has seen; undefined: none. */
  after: number | undefined;
  /** When the client's token ends, and with it the stream. */
  expiresAt: Date;
}

/** Everybody who watches a job in this process. */
export interface JobStreams {
  /**
   * Undefined: the job is at its end, and the client has seen that. Throws `job_not_found`, rate_limited
   * `too_many_streams` and transient `streams_exhausted`.
   */
  open(request: StreamRequest): Promise<Readable | undefined>;
  /** Ends every stream; clients connect again, elsewhere. */
  close(): void;
}

interface OpenStream {
  out: PassThrough;
  job_id: string;
  user_id: string;
  version: string;
  after: number | null;
  expiresAt: number;
}

/** A reader that has so much waiting does not keep up; it connects again and goes on behind what it has seen. */
const MOST_WAITING_BYTES = 262_144;

/** One timer and one statement at a time serve all streams. Where nobody watches, nothing is asked. */
export function createJobStreams(system: { database: Queryable; log: Logger }, settings: StreamSettings): JobStreams {
  const slots = createStreamSlots(settings);
  const streams = new Set<OpenStream>();
  const tick = createTick(streams, { poller: createPoller(system, streams), heartbeatMs: settings.heartbeatMs });
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;

  const remove = (stream: OpenStream): void => {
    streams.delete(stream);
    if (streams.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
  const add = (stream: OpenStream, release: () => void): void => {
    stream.out.once("close", () => {
      remove(stream);
      release();
    });
    if (isClosed) stream.out.end();
    if (stream.out.writableEnded) return;
    streams.add(stream);
    timer ??= setInterval(tick, settings.pollMs).unref();
  };
  return {
    open: async (request) => {
      const release = slots.take(request.user_id);
      try {
        const stream = await begin(system.database, request);
        if (stream === undefined) release();
        else add(stream, release);
        return stream?.out;
      } catch (error) {
        release();
        throw error;
      }
    },
    close: () => {
      isClosed = true;
      for (const stream of streams) stream.out.end();
    },
  };
}

/** What is done at each turn of the timer: streams whose token is over end, readers hear of us, and jobs are asked for. */
function createTick(streams: Set<OpenStream>, how: { poller: Poller; heartbeatMs: number }): () => void {
  let beatAt = 0;
  return () => {
    const now = Date.now();
    const isBeat = now >= beatAt;
    if (isBeat) beatAt = now + how.heartbeatMs;
    for (const stream of streams) {
      if (stream.expiresAt <= now) stream.out.end();
      else if (isBeat) write(stream, HEARTBEAT);
    }
    if (streams.size > 0) how.poller.poll({ findGone: isBeat });
  };
}

/** The stream with what is to be told at once; ended if that is all. */
async function begin(database: Queryable, request: StreamRequest): Promise<OpenStream | undefined> {
  const { job_id, user_id, after = null } = request;
  const [change] = await listChangedJobs(database, [{ job_id, user_id, version: "", after }]);
  if (change === undefined) throw jobNotFound();
  if (after !== null && isTerminal(change.job.state) && change.events.length === 0) return undefined;
  // It may hold as much as is ever let wait, so that what is written is never lost to a mark of its own.
  const out = new PassThrough({ highWaterMark: MOST_WAITING_BYTES });
  const stream = { out, job_id, user_id, version: "", after, expiresAt: request.expiresAt.getTime() };
  write(stream, STREAM_START);
  deliver(stream, change);
  return stream;
}

interface Poller {
  /** Asks for all streams' jobs, unless that is under way. */
  poll(options: { findGone: boolean }): void;
}

function createPoller({ database, log }: { database: Queryable; log: Logger }, streams: Set<OpenStream>): Poller {
  let isPolling = false;
  let isAway = false;
  const ask = async ({ findGone }: { findGone: boolean }): Promise<void> => {
    const asked = [...streams].filter((stream) => !stream.out.writableEnded);
    for (const change of await listChangedJobs(database, asked)) {
      const stream = asked[change.index];
      if (stream !== undefined && !stream.out.writableEnded) deliver(stream, change);
    }
    if (!findGone) return;
    const gone = await listGoneJobs(database, [...new Set(asked.map((stream) => stream.job_id))]);
    for (const stream of asked) if (gone.has(stream.job_id)) stream.out.end();
  };
  const askOnce = async (options: { findGone: boolean }): Promise<void> => {
    try {
      await ask(options);
      isAway = false;
    } catch (err) {
      // Once, not every second; heartbeats go on, and what was missed is told later.
      if (!isAway) log.warn({ err }, "streamed jobs not read");
      isAway = true;
    }
    isPolling = false;
  };
  return {
    poll: (options) => {
      if (isPolling) return;
      isPolling = true;
      void askOnce(options);
    },
  };
}

/** Writes what the client has not seen, and ends the stream when there is nothing to come. */
function deliver(stream: OpenStream, { job, version, events }: ChangedJob): void {
  if (events.length === 0) write(stream, formatMessage(job, null));
  for (const event of events) {
    write(stream, formatMessage(job, event));
    stream.after = event.event_id;
  }
  const isAll = events.length < MOST_EVENTS;
  stream.version = isAll ? version : "";
  if (isAll && isTerminal(job.state)) stream.out.end();
}

function write({ out }: OpenStream, text: string): void {
  if (out.writableEnded || out.destroyed) return;
  if (out.writableLength + out.readableLength + text.length > MOST_WAITING_BYTES) out.destroy();
  else out.write(text);
}
