import { z } from "zod";

/** What the floor serves from. */
export const floorInput = z.object({ url: z.string(), poolSize: z.int() });

/** Whose request it is: a place in the list of tokens, each of which is long and used often. */
const bearer = z.int().optional();

/** A request that is sent in its turn; an upload is a POST whose file is new each time. */
const requestInput = z.object({ path: z.string(), bearer, isUpload: z.boolean() });

export const loadInput = z.object({
  url: z.string(),
  connections: z.int(),
  seconds: z.number(),
  /** Requests a second over all connections; as many as are answered where it is missing. */
  rate: z.int().optional(),
  tokens: z.array(z.string()).default([]),
  requests: z.array(requestInput),
  streams: z.array(z.object({ path: z.string(), bearer })).default([]),
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
