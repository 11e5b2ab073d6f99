import { LIMITS } from "@pipeline/runtime/limits";

/** How much one document may cost. Every limit ends in an error of its own; none of them shortens the result. */
export interface ParseLimits {
  /** Wall clock of the whole parse in milliseconds, the child's start included. */
  timeoutMs: number;
  /** V8 heap of the child in MiB (`--max-old-space-size`). */
  heapMb: number;
  /** Resident memory of the child in MiB: inflated streams live outside the V8 heap. */
  rssMb: number;
  maxPages: number;
  /** Characters (UTF-16 units) of the whole result. */
  maxTextChars: number;
  /** Bytes all of a document's compressed parts may inflate to, images excepted: they are never decoded. */
  maxInflatedBytes: number;
  /** Inflated bytes per byte of file; asked only past INFLATION_RATIO_FLOOR_BYTES. */
  maxInflationRatio: number;
  /** Files inside one archive. */
  maxArchiveEntries: number;
}

/**
 * - 500 pages: the service's published limit.
 * - 120 s: pdf.js does 63 to 139 pages/s on 2 shared cores, 500 pages take 8 s there; the rest is for slower machines.
 * - 512 MiB heap, 1 GiB resident: a 7,040-page PDF took 468 MB in all, a 1.5 MB bomb 2.8 GB.
 * - 10 million characters are about 4,000 dense pages.
 * - 256 MiB and 200:1: text and font streams of real files stay below 20:1, DEFLATE reaches 1,032:1.
 * - 5,000 entries: a Word file with a thousand pictures has about 1,100.
 */
export const DEFAULT_PARSE_LIMITS: ParseLimits = {
  timeoutMs: 120_000,
  heapMb: 512,
  rssMb: 1024,
  maxPages: LIMITS.maxPages,
  maxTextChars: 10_000_000,
  maxInflatedBytes: 256 * 1024 * 1024,
  maxInflationRatio: 200,
  maxArchiveEntries: 5000,
};

/** Below this a high ratio is harmless: a short form with one long blank stream reaches 500:1. */
export const INFLATION_RATIO_FLOOR_BYTES = 16 * 1024 * 1024;
