/** Undefined: it was taken. Never holds the address, which is a secret. */
export type Refusal = { failure: string; retryAfterMs: number | undefined } | undefined;

const TIMEOUT_MS = 5_000;

export async function postWebhook(url: string, body: object): Promise<Refusal> {
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    await response.body?.cancel();
    if (response.ok) return undefined;
    const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
    return {
      failure: `status ${response.status}`,
      retryAfterMs: Number.isFinite(seconds) ? Math.max(0, seconds * 1_000) : undefined,
    };
  } catch {
    // What `fetch` throws quotes the address.
    return { failure: "no answer", retryAfterMs: undefined };
  }
}

const FIRST_WAIT_MS = 10_000;
const LONGEST_WAIT_MS = 600_000;

/** How long to wait before the next attempt, after so many. */
export function deliveryWaitMs(attemptCount: number, retryAfterMs: number | undefined): number {
  const backoff = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(attemptCount, 10));
  return Math.max(backoff, Math.min(LONGEST_WAIT_MS, retryAfterMs ?? 0));
}
