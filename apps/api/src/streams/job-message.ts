import { eventRow, type EventRow, type JobRow } from "@pipeline/db";
import { z } from "zod";
import { isoTime } from "../contract/iso-time.ts";
import { jobBody, presentJob } from "../contract/job-body.ts";

/** The data of each message: the job as it is now, and what happened to it; null where only its progress changed. */
export const streamedJob = jobBody.extend({ event: eventRow.extend({ created_at: isoTime }).nullable() });

/**
 * One message of a stream. Its id is the event's, so that `Last-Event-ID` tells what was seen; a message about progress
 * alone has none, which leaves that as it is.
 */
export function formatMessage(job: JobRow, event: EventRow | null): string {
  const data = JSON.stringify(z.encode(streamedJob, { ...presentJob(job), event }));
  return `${event === null ? "" : `id: ${event.event_id}\n`}event: job\ndata: ${data}\n\n`;
}

/** How long a client waits before it connects again. */
const RETRY_MS = 2_000;

/** What every stream begins with. */
export const STREAM_START = `retry: ${RETRY_MS}\n\n`;

/** Keeps proxies from closing a stream on which nothing happens, and finds readers that are gone. */
export const HEARTBEAT = ": still here\n\n";
