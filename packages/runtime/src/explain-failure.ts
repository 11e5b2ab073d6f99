import { AppError } from "./errors.ts";

/** Why a command or a service could not do its work, in a line for the person who started it. */
export function explainFailure(error: unknown): string {
  if (error instanceof AppError) return `${error.code}: ${error.message}`;
  if (error instanceof Error && "code" in error && error.code === "EADDRINUSE") {
    return `The port is taken by another process (${error.message}). Stop it, or set another port.`;
  }
  // The system's own errors name a file or an address, and never hold what was read from it.
  if (error instanceof Error && "syscall" in error) return error.message;
  return `internal_error: An unexpected error occurred (${error instanceof Error ? error.name : typeof error}).`;
}
