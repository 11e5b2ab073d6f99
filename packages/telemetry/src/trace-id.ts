import { createHash } from "node:crypto";

const NO_TRACE = "0".repeat(32);

/**
 * The trace, 32 hexadecimal digits, of all that happens under this correlation id: its own digits where it is a UUID, or digits
 * alone, else a hash. So API and workers share a trace without passing one on.
 */
export function traceIdOf(correlationId: string): string {
  const digits = /^(?:[0-9a-f]{32}|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})$/i.test(correlationId)
    ? correlationId.replaceAll("-", "").toLowerCase()
    : NO_TRACE;
  if (digits !== NO_TRACE) return digits;
  return createHash("sha256").update(correlationId).digest("hex").slice(0, 32);
}

export interface CallerSpan {
  traceId: string;
  spanId: string;
  isSampled: boolean;
}

/** Version, trace, span and flags; ff is no version, zeros are no id. Versions after 00 may say more behind them. */
const TRACEPARENT = /^(?!ff)([0-9a-f]{2})-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** The caller's span in a W3C `traceparent`; undefined where there is none that is valid. */
export function parseTraceparent(header: unknown): CallerSpan | undefined {
  if (typeof header !== "string") return undefined;
  const [, version, traceId, spanId, flags = "", rest] = TRACEPARENT.exec(header) ?? [];
  if (traceId === undefined || spanId === undefined) return undefined;
  if (version === "00" && rest !== undefined) return undefined;
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & 1) === 1 };
}
