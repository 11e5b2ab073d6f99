import { AppError, toAppError } from "@pipeline/runtime";

/**
 * What the operating system refused, as an error that later attempts may outlive: `storage_full` when there is no
 * room, else `storage_unavailable`. `doing` completes "Object storage could not …". The path stays in the cause.
 */
export function diskFault(doing: string, error: unknown): AppError {
  const code = systemErrorCode(error);
  if (code === undefined) return toAppError(error);
  const isFull = code === "ENOSPC" || code === "EDQUOT";
  return new AppError({
    kind: "transient",
    code: isFull ? "storage_full" : "storage_unavailable",
    message: `Object storage could not ${doing} (${code}).`,
    cause: error,
  });
}

/** The errno name of a failed system call ("ENOENT"), undefined for every other thrown value. */
export function systemErrorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("syscall" in error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}
