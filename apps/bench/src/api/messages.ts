import { z } from "zod";

/** What the floor serves from. */
export const floorInput = z.object({ url: z.string(), poolSize: z.int() });

/** Requests of one kind, taken in turn; a body makes it a POST whose file is new each time. */
const requestInput = z.object({ path: z.string(), token: z.string().optional(), isUpload: z.boolean() });

export const loadInput = z.object({
  url: z.string(),
  connections: z.int(),
  seconds: z.number(),
  /** Requests a second over all connections; as many as are answered where it is missing. */
  rate: z.int().optional(),
  requests: z.array(requestInput),
  streams: z.array(z.object({ path: z.string(), token: z.string() })).default([]),
});
export type LoadInput = z.input<typeof loadInput>;

export const loadReport = z.object({
  requests_per_second: z.number(),
  p50_ms: z.number(),
  p99_ms: z.number(),
  answered: z.int(),
  /** Not 2xx, or no answer. */
  failed: z.int(),
  /** Streams that were open at the end. */
  streams: z.int(),
});
export type LoadReport = z.output<typeof loadReport>;

export const listeningMessage = z.object({ port: z.int() });
export const memoryReport = z.object({ rss: z.number(), heap: z.number() });
export type MemoryReport = z.output<typeof memoryReport>;
