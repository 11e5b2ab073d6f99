import { z } from "zod";
import { FORMATS } from "@pipeline/runtime/formats";

const positive = z.number().positive();

/** What the parent asks of the child, once: to read the document, or to count its pages. */
export const parseRequestSchema = z.object({
  task: z.enum(["parse", "count"]),
  path: z.string(),
  format: z.enum(FORMATS),
  parent_pid: z.int(),
  limits: z.object({
    timeoutMs: positive,
    heapMb: positive,
    rssMb: positive,
    maxPages: positive,
    maxTextChars: positive,
    maxInflatedBytes: positive,
    maxInflationRatio: positive,
    maxArchiveEntries: positive,
  }),
});

const noteSchema = z.object({
  code: z.string(),
  message: z.string(),
  page_number: z.int().positive().exactOptional(),
});

/**
 * What the child answers: progress while it reads, then every page by itself (so that no message is
 * larger than one page), then `done` or `failed`. `done` names the count, so a lost page is noticed. Who only counts
 * answers `counted` or `failed`.
 */
export const childMessageSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("progress"), pages_done: z.int().nonnegative(), pages_total: z.int().nonnegative() }),
  z.object({ type: z.literal("page"), page_number: z.int().positive(), text: z.string() }),
  z.object({
    type: z.literal("done"),
    parser: z.string(),
    parser_version: z.string(),
    title: z.string().nullable(),
    notes: z.array(noteSchema),
    pages_total: z.int().positive(),
  }),
  z.object({ type: z.literal("counted"), page_count: z.int().positive(), is_exact: z.boolean() }),
  z.object({
    type: z.literal("failed"),
    kind: z.enum(["permanent", "too_large", "transient", "internal"]),
    code: z.string(),
    message: z.string(),
    details: z.record(z.string(), z.unknown()).optional(),
  }),
]);

export type ParseRequest = z.infer<typeof parseRequestSchema>;
export type ChildMessage = z.infer<typeof childMessageSchema>;
