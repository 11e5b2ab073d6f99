import { JOB_ERRORS, type JobError, type ParseFile } from "./job.ts";

/**
 * What a file tells the emulator to do, in its name or in the first or last 64 KiB of its bytes: `emulate:` or
 * `emulate-`, and one of the words below. A comment after a PDF's end is a good place.
 */
export interface Markers {
  /** A job error by name, such as `emulate:PDF_IS_PROTECTED`. */
  error: JobError | undefined;
  /** `emulate:failed_pages=2,4`: these pages cannot be read. */
  failedPages: readonly number[];
  /** `emulate:never_ends`: the job runs into its timeout. */
  neverEnds: boolean;
  /** `emulate:cancelled`: the service cancels the job. */
  isCancelled: boolean;
  /** `emulate:upload_status=402`: the upload itself is refused. */
  uploadStatus: number | undefined;
}

const MARKER = /emulate[:-]([A-Za-z_]+)(?:=(\d[\d,]*))?/g;
const SEARCHED_BYTES = 64 * 1024;

export function readMarkers({ name, bytes }: Pick<ParseFile, "name" | "bytes">): Markers {
  const head = bytes.subarray(0, SEARCHED_BYTES).toString("latin1");
  const tail = bytes.subarray(Math.max(SEARCHED_BYTES, bytes.length - SEARCHED_BYTES)).toString("latin1");
  const found = new Map<string, number[]>();
  for (const [, word = "", values = ""] of `${name}\n${head}\n${tail}`.matchAll(MARKER)) {
    found.set(word, values.split(",").filter(Boolean).map(Number));
  }
  return {
    error: JOB_ERRORS.find((code) => found.has(code)),
    failedPages: found.get("failed_pages") ?? [],
    neverEnds: found.has("never_ends"),
    isCancelled: found.has("cancelled"),
    uploadStatus: found.get("upload_status")?.[0],
  };
}

/** Whether the end of a job is ordered, so that no cache may have a say in it. */
export function isOrdered({ error, failedPages, neverEnds, isCancelled }: Markers): boolean {
  return error !== undefined || failedPages.length > 0 || neverEnds || isCancelled;
}
