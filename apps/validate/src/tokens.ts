import { randomUUID } from "node:crypto";
import { SignJWT } from "jose";

/** What the checks call the API with; undefined where it was neither given nor could be made. */
export interface Tokens {
  user: string | undefined;
  /** Of somebody else. */
  otherUser: string | undefined;
  service: string | undefined;
  /** What `/metrics` asks for. */
  metrics: string | undefined;
  /** Signed with the right key, and too old. */
  expired: string | undefined;
  /** As `user` should be, signed with a key that is not the deployment's. */
  forged: string;
  /** Signed with the secret of Supabase's published templates. */
  published: string;
  /** Where a secret lies that would have signed them, and is another deployment's. */
  foreignSecretPath?: string;
}

export interface TokenSources {
  jwtSecret: string | undefined;
  supabaseUrl: string | undefined;
  token: string | undefined;
  otherToken: string | undefined;
  serviceKey: string | undefined;
  metricsToken: string | undefined;
}

const LIFE_SECONDS = 3_600;
const PUBLISHED_SECRET = "super-secret-jwt-token-with-at-least-32-characters-long";

/** Given tokens count; what was not given is signed with the secret, if that is known, for users made up here. */
export async function prepareTokens(sources: TokenSources): Promise<Tokens> {
  const { jwtSecret, supabaseUrl } = sources;
  const user = (secret: string, seconds = LIFE_SECONDS): Promise<string> =>
    signUserToken({ secret, supabaseUrl, seconds });
  return {
    user: sources.token ?? (await withSecret(jwtSecret, user)),
    otherUser: sources.otherToken ?? (await withSecret(jwtSecret, user)),
    service:
      sources.serviceKey ??
      (await withSecret(jwtSecret, (secret) =>
        sign(
          { role: "service_role", iss: supabaseUrl === undefined ? undefined : "supabase" },
          { secret, seconds: LIFE_SECONDS },
        ),
      )),
    metrics: sources.metricsToken,
    expired: await withSecret(jwtSecret, (secret) => user(secret, -LIFE_SECONDS)),
    forged: await user(`forged-${randomUUID()}`),
    published: await user(PUBLISHED_SECRET),
  };
}

interface UserToken {
  secret: string;
  supabaseUrl?: string | undefined;
  /** How long it is good for; negative: since when it has been too old. */
  seconds?: number;
}

/** Of a user made up here. */
export function signUserToken({ secret, supabaseUrl, seconds = LIFE_SECONDS }: UserToken): Promise<string> {
  const iss = supabaseUrl === undefined ? undefined : `${supabaseUrl}/auth/v1`;
  return sign({ role: "authenticated", sub: randomUUID(), aud: "authenticated", iss }, { secret, seconds });
}

async function withSecret(secret: string | undefined, make: (secret: string) => Promise<string>) {
  return secret === undefined ? undefined : make(secret);
}

interface Claims {
  role: string;
  sub?: string;
  aud?: string;
  iss: string | undefined;
}

function sign({ iss, ...claims }: Claims, key: { secret: string; seconds: number }): Promise<string> {
  const now = Math.floor(Date.now() / 1_000);
  return new SignJWT({ ...claims, ...(iss === undefined ? {} : { iss }) })
    .setProtectedHeader({ alg: "HS256", typ: "JWT" })
    .setIssuedAt(now + Math.min(0, 2 * key.seconds))
    .setExpirationTime(now + key.seconds)
    .sign(new TextEncoder().encode(key.secret));
}
