import { AppError, type ErrorKind } from "@pipeline/runtime";

interface Failure {
  kind: ErrorKind;
  code: string;
  message: string;
}

/** What a job can end with, under the codes that the local parser uses for the same fault. */
const FAILURES: ReadonlyMap<string, Failure> = new Map([
  ["UNSUPPORTED_FILE_TYPE", unsupportedType()],
  [
    "PDF_IS_PROTECTED",
    {
      kind: "permanent",
      code: "password_protected",
      message: "The document is protected by a password. Remove the password and upload it again.",
    },
  ],
  ["PDF_IS_BROKEN", { kind: "permanent", code: "damaged_file", message: "The document is cut off or unreadable." }],
  ["NO_DATA_FOUND_IN_FILE", { kind: "permanent", code: "no_text", message: "The document holds no text." }],
  [
    "DOCUMENT_TOO_LARGE",
    {
      kind: "too_large",
      code: "llamaparse_too_large",
      message: "The parsing service refused the document as too large.",
    },
  ],
  ["TOO_MANY_PAGES", { kind: "too_large", code: "too_many_pages", message: "The document has too many pages." }],
  ["TIMEOUT", tookTooLong()],
  ["EXPIRED", tookTooLong()],
  [
    "INVALID_TIER_VERSION_COMBINATION",
    {
      kind: "permanent",
      code: "llamaparse_configuration_invalid",
      message: "The parsing service does not have the configured version of the configured tier.",
    },
  ],
]);

const UNKNOWN_FAILURE: Failure = {
  kind: "transient",
  code: "llamaparse_job_failed",
  message: "The parsing service failed to read the document.",
};

/** What the provider says of a job that failed. */
export interface FailedJob {
  error_code?: string | null | undefined;
  error_message?: string | null | undefined;
}

/**
 * Why a job failed. The code has a field of its own in one version of the API and stands within the message in the
 * other; of both, only a code that we know is kept.
 */
export function jobFailure(job: FailedJob): AppError {
  const words = `${job.error_code ?? ""} ${job.error_message ?? ""}`.match(/\b[A-Z][A-Z_]{4,}\b/g) ?? [];
  const known = words.find((word) => FAILURES.has(word));
  if (known === undefined) return new AppError(UNKNOWN_FAILURE);
  return new AppError({ ...(FAILURES.get(known) ?? UNKNOWN_FAILURE), details: { provider_code: known } });
}

/** Somebody stopped the job at the provider; doing it again is for people to decide. */
export function jobCancelled(): AppError {
  return new AppError({
    kind: "permanent",
    code: "llamaparse_job_cancelled",
    message: "The job was cancelled at the parsing service.",
  });
}

function unsupportedType(): Failure {
  return { kind: "permanent", code: "unsupported_type", message: "The document's type is none that can be read." };
}

function tookTooLong(): Failure {
  return { kind: "transient", code: "parse_timeout", message: "Reading the document took longer than is allowed." };
}
