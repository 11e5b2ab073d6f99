import { SignJWT } from "jose";

export interface DevelopmentToken {
  secret: string;
  userId: string;
  expiresInSeconds: number;
  issuer?: string;
}

/** A token with the claims that Supabase gives a signed-in user, for development and tests. */
export function signDevelopmentToken(token: DevelopmentToken): Promise<string> {
  const issuedAt = Math.floor(Date.now() / 1_000);
  const claims = { role: "authenticated", ...(token.issuer === undefined ? {} : { iss: token.issuer }) };
  return new SignJWT(claims)
    .setProtectedHeader({ alg: "HS256", typ: "JWT" })
    .setSubject(token.userId)
    .setAudience("authenticated")
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + token.expiresInSeconds)
    .sign(new TextEncoder().encode(token.secret));
}

/** A token of the service role, which belongs to no user, for development and tests. */
export function signServiceToken(token: Omit<DevelopmentToken, "userId">): Promise<string> {
  const issuedAt = Math.floor(Date.now() / 1_000);
  return new SignJWT({ role: "service_role", ...(token.issuer === undefined ? {} : { iss: token.issuer }) })
    .setProtectedHeader({ alg: "HS256", typ: "JWT" })
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + token.expiresInSeconds)
    .sign(new TextEncoder().encode(token.secret));
}
