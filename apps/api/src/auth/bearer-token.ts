import { unauthorized } from "./unauthorized.ts";

/** The token of an Authorization header (RFC 6750 section 2.1); throws `unauthorized` where there is none. */
export function readBearerToken(header: string | undefined): string {
  const token = /^Bearer +([\w.~+/-]+=*)$/i.exec(header ?? "")?.[1];
  if (token === undefined) throw unauthorized();
  return token;
}
