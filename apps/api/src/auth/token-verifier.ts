import { AppError } from "@pipeline/runtime";
import { errors, jwtVerify, type JWTPayload } from "jose";
import { z } from "zod";

/** Who a valid token speaks for. */
export interface Identity {
  /** Lower-case UUID: ids of documents are made of it. */
  user_id: string;
}

/** Throws AppError unauthorized: `token_expired` for a token that was good once, else `unauthorized`. */
export type TokenVerifier = (token: string) => Promise<Identity>;

export interface TokenVerifierOptions {
  /** The project's JWT secret; its UTF-8 bytes are the key, as Supabase has it. */
  secret: string;
  /** `<SUPABASE_URL>/auth/v1`; undefined accepts any issuer. */
  issuer?: string;
}

/** Clocks of two machines differ by this much without anybody noticing. */
const CLOCK_TOLERANCE_SECONDS = 5;

// Only what users cannot write themselves counts: user_metadata never does. Service and anonymous keys are tokens of
// the same secret, so the role is what tells a user's from theirs.
const userClaims = z.object({ sub: z.guid().toLowerCase(), role: z.literal("authenticated") });

/** Verifies Supabase's user tokens without asking anybody. */
export function createTokenVerifier(options: TokenVerifierOptions): TokenVerifier {
  const key = new TextEncoder().encode(options.secret);
  return async (token) => {
    const claims = userClaims.safeParse(await verifySignature(token, { key, issuer: options.issuer }));
    if (!claims.success) throw unauthorized(claims.error);
    return { user_id: claims.data.sub };
  };
}

/** One answer for every reason, so that it tells nothing to whoever tries; the reason is its cause. */
export function unauthorized(cause?: unknown): AppError {
  return new AppError({
    kind: "unauthorized",
    code: "unauthorized",
    message: "This call needs a valid bearer token of a user.",
    cause,
  });
}

async function verifySignature(
  token: string,
  { key, issuer }: { key: Uint8Array; issuer: string | undefined },
): Promise<JWTPayload> {
  try {
    const { payload } = await jwtVerify(token, key, {
      algorithms: ["HS256"],
      audience: "authenticated",
      requiredClaims: ["sub", "exp"],
      clockTolerance: CLOCK_TOLERANCE_SECONDS,
      ...(issuer === undefined ? {} : { issuer }),
    });
    return payload;
  } catch (error) {
    if (error instanceof errors.JWTExpired) throw tokenExpired(error);
    if (error instanceof errors.JOSEError) throw unauthorized(error);
    throw error;
  }
}

function tokenExpired(cause: unknown): AppError {
  return new AppError({
    kind: "unauthorized",
    code: "token_expired",
    message: "The bearer token has expired; sign in again.",
    cause,
  });
}
