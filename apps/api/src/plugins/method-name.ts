/** Node knows more of them; what a client makes up is no reason for another series. */
const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

/** A bounded name of a request's method. */
export function methodName(method: string): string {
  return METHODS.has(method) ? method : "other";
}
