import { z } from "zod";
import { SYSTEM_NAMES } from "../systems/index.ts";

const common = { system: z.enum(SYSTEM_NAMES), url: z.string(), docs: z.number(), stages: z.number() };

export const workerInput = z.object({
  ...common,
  mode: z.enum(["drain", "latency"]),
  handlerMs: z.number(),
  /** The report goes out after this long, however many documents are done. */
  limitMs: z.number(),
});
export type WorkerInput = z.infer<typeof workerInput>;

export const producerInput = z.object({
  ...common,
  perSecond: z.number(),
});

/** An id and a time in milliseconds since 1970. */
const moments = z.array(z.tuple([z.string(), z.number()]));

export const readyMessage = z.literal("ready");
export const sentMessage = z.object({ sent: moments });
export const workerReport = z.object({
  startedAt: z.number(),
  finishedAt: z.number(),
  doneCount: z.number(),
  completions: moments,
});
export type WorkerReport = z.infer<typeof workerReport>;
