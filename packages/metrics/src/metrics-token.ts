import { createHash, timingSafeEqual } from "node:crypto";

/** Whether who asks for /metrics may have them: everybody where no token is configured. */
export function hasMetricsToken(authorization: string | undefined, token: string | undefined): boolean {
  if (token === undefined) return true;
  const given = /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1] ?? "";
  // Digests have one length, and comparing them takes one time, whatever was sent.
  return timingSafeEqual(digest(given), digest(token));
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
