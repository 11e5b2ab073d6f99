import { createHmac } from "node:crypto";
import { z } from "zod";

type Given = Readonly<Record<string, string | undefined>>;

const ROLES = { SUPABASE_SERVICE_ROLE_KEY: "service_role", SUPABASE_ANON_KEY: "anon" } as const;
type KeyName = keyof typeof ROLES;
const KEY_NAMES = ["SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_ANON_KEY"] as const;

/** Of keys of the newer kind, which say nothing of their project. */
const NEW_KEY_PREFIXES: Readonly<Record<KeyName, string>> = {
  SUPABASE_SERVICE_ROLE_KEY: "sb_secret_",
  SUPABASE_ANON_KEY: "sb_publishable_",
};

/**
 * What the variables of Supabase give away without asking anybody: keys in each other's place, of another project than
 * the address or the secret, or past their time. Keys of the older kind are tokens that say whose they are. A service
 * that started with the wrong ones would fail at each document, or work in somebody else's project.
 */
export function findSupabaseFaults(given: Given, needsStorage: boolean): string[] {
  return [
    ...(needsStorage ? findHalves(given) : []),
    ...KEY_NAMES.flatMap((name) => findKeyFaults(name, given)),
    ...findTwoProjects(given),
  ];
}

function findHalves(given: Given): string[] {
  const { SUPABASE_URL: url, SUPABASE_SERVICE_ROLE_KEY: key } = given;
  if (url !== undefined && key === undefined) return ["SUPABASE_SERVICE_ROLE_KEY is missing"];
  if (url === undefined && key !== undefined) return ["SUPABASE_URL is missing: SUPABASE_SERVICE_ROLE_KEY is set"];
  return [];
}

function findKeyFaults(name: KeyName, given: Given): string[] {
  const key = given[name];
  if (key === undefined) return [];
  if (KEY_NAMES.some((other) => other !== name && key.startsWith(NEW_KEY_PREFIXES[other]))) return [wrongRole(name)];
  const token = decodeKey(key);
  if (token === undefined) return [];
  const { role, exp } = token.claims;
  return [
    ...(role === undefined || role === ROLES[name] ? [] : [wrongRole(name)]),
    ...(exp === undefined || exp * 1_000 > Date.now() ? [] : [`${name} has expired`]),
    ...(isOfProject(token, given["SUPABASE_URL"]) ? [] : [`${name} is a key of another project than SUPABASE_URL`]),
    ...(isSignedWith(token, given["SUPABASE_JWT_SECRET"])
      ? []
      : [`${name} is not signed with SUPABASE_JWT_SECRET: they belong to different projects`]),
  ];
}

function wrongRole(name: KeyName): string {
  return `${name} is not a key of the role ${ROLES[name]}`;
}

function findTwoProjects(given: Given): string[] {
  const refs = KEY_NAMES.map((name) => decodeKey(given[name] ?? "")?.claims.ref);
  const known = new Set(refs.filter((ref) => ref !== undefined));
  return known.size > 1 ? [`${KEY_NAMES.join(" and ")} are keys of different projects`] : [];
}

const claimsSchema = z.object({
  role: z.string().optional().catch(undefined),
  /** The project's name in its address. */
  ref: z.string().optional().catch(undefined),
  iss: z.string().optional().catch(undefined),
  exp: z.number().optional().catch(undefined),
});
const headerSchema = z.object({ alg: z.string() });

interface Token {
  alg: string;
  claims: z.infer<typeof claimsSchema>;
  signed: string;
  signature: string;
}

/** Undefined for what is no token, such as a key of the newer kind. */
function decodeKey(key: string): Token | undefined {
  const [head = "", body = "", signature, ...rest] = key.split(".");
  if (signature === undefined || rest.length > 0) return undefined;
  const header = headerSchema.safeParse(decodePart(head));
  const claims = claimsSchema.safeParse(decodePart(body));
  if (!header.success || !claims.success) return undefined;
  return { alg: header.data.alg, claims: claims.data, signed: `${head}.${body}`, signature };
}

function decodePart(part: string): unknown {
  try {
    return JSON.parse(Buffer.from(part, "base64url").toString());
  } catch {
    return undefined;
  }
}

/** Twenty letters before the domain of hosted projects; behind a domain of their own, or self-hosted, nothing tells. */
const HOSTED = /^([a-z]{20})\.supabase\.(?:co|in|red)$/u;

function isOfProject({ claims }: Token, url: string | undefined): boolean {
  if (url === undefined || !URL.canParse(url)) return true;
  const { hostname, host } = new URL(url);
  const ref = HOSTED.exec(hostname)?.[1];
  if (ref !== undefined && claims.ref !== undefined) return claims.ref === ref;
  // Where the issuer is an address it is the project's own; mostly it is the word "supabase".
  const isAddress = claims.iss !== undefined && /^https?:/u.test(claims.iss) && URL.canParse(claims.iss);
  return !isAddress || new URL(claims.iss ?? "").host === host;
}

function isSignedWith({ alg, signed, signature }: Token, secret: string | undefined): boolean {
  if (secret === undefined || alg !== "HS256") return true;
  return createHmac("sha256", secret).update(signed).digest("base64url") === signature;
}
