/** No connection came about, so nothing was sent: what was asked for has no effect and is not billed. */
const NEVER_SENT = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "UND_ERR_CONNECT_TIMEOUT"]);

/** Whether what an HTTP client threw means that the request did not leave this machine. */
export function wasNeverSent(thrown: unknown): boolean {
  for (let error = thrown; error instanceof Error; error = error.cause) {
    if ("code" in error && typeof error.code === "string" && NEVER_SENT.has(error.code)) return true;
  }
  return false;
}
