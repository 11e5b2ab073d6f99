import { AppError } from "@pipeline/runtime";
import { createLocalJWKSet, errors, type CryptoKey } from "jose";
import { unauthorized } from "./unauthorized.ts";

/** What a token's header says of the key that signed it. */
export type KeyName = Record<"alg" | "kid", string>;

/**
 * The project's public key of this name. Throws `unauthorized` where the project has none, and
 * `auth_keys_unavailable` where nobody can tell because the keys could not be fetched.
 */
export type FindPublicKey = (name: KeyName) => Promise<CryptoKey>;

export interface PublicKeysOptions {
  /** Where the JSON Web Key Set is. */
  url: string;
  /** For the whole exchange. */
  timeoutMs?: number;
  /** A clock in milliseconds that never goes back. */
  now?: () => number;
}

const TIMEOUT_MS = 3_000;
/** As long as the endpoint's own `Cache-Control` says. */
const FRESH_MS = 600_000;
/** Unknown names lead to no more fetches than one in this time, whoever makes them up. */
const UNKNOWN_KEY_COOLDOWN_MS = 30_000;
/** An endpoint that fails is asked this often, so that a hanging one holds up few requests. */
const FAILURE_COOLDOWN_MS = 5_000;
/** While the endpoint fails, keys are trusted as long as the tokens live that they signed before: an hour by default. */
const USABLE_MS = 3_600_000;
/** A set holds a handful of keys of less than 1 KB each. */
const MAX_SET_BYTES = 262_144;

type SelectKey = ReturnType<typeof createLocalJWKSet>;

/**
 * Public keys by name, fetched when first needed, when ten minutes old, and once when a name is unknown. jose's own
 * remote set gives up its keys when it cannot renew them, and asks a dead endpoint again for every token.
 */
export function createPublicKeys(options: PublicKeysOptions): FindPublicKey {
  const { url, timeoutMs = TIMEOUT_MS, now = () => performance.now() } = options;
  let fetched: { select: SelectKey; at: number } | undefined;
  let failed: { cause: unknown; at: number } | undefined;
  let fetching: Promise<void> | undefined;

  const isYounger = (moment: { at: number } | undefined, ms: number) => moment !== undefined && now() - moment.at < ms;

  const fetchOnce = async (): Promise<void> => {
    try {
      fetched = { select: await fetchKeys(url, timeoutMs), at: now() };
      failed = undefined;
    } catch (cause) {
      failed = { cause, at: now() };
    } finally {
      fetching = undefined;
    }
  };

  /** All who need the keys at one time wait for one request. */
  const refresh = async (): Promise<void> => {
    if (isYounger(failed, FAILURE_COOLDOWN_MS)) return;
    fetching ??= fetchOnce();
    await fetching;
  };

  const find = (name: KeyName): Promise<CryptoKey | undefined> =>
    fetched !== undefined && isYounger(fetched, USABLE_MS)
      ? selectKey(fetched.select, name)
      : Promise.resolve(undefined);

  return async (name) => {
    if (!isYounger(fetched, FRESH_MS)) await refresh();
    const known = await find(name);
    if (known !== undefined) return known;
    if (!isYounger(fetched, UNKNOWN_KEY_COOLDOWN_MS)) await refresh();
    const found = await find(name);
    if (found !== undefined) return found;
    // The last answer decides: where it failed, the key may exist.
    throw failed === undefined ? unauthorized() : keysUnavailable(failed.cause);
  };
}

async function fetchKeys(url: string, timeoutMs: number): Promise<SelectKey> {
  const response = await fetch(url, {
    headers: { accept: "application/json" },
    // A redirect would let another host name the keys that we trust.
    redirect: "error",
    signal: AbortSignal.timeout(timeoutMs),
  });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`The key set's address answered ${response.status}.`);
  }
  // createLocalJWKSet checks the shape.
  return createLocalJWKSet(JSON.parse(await readText(response)));
}

async function readText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > MAX_SET_BYTES) throw new Error(`The key set is longer than ${MAX_SET_BYTES} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

async function selectKey(select: SelectKey, name: KeyName): Promise<CryptoKey | undefined> {
  try {
    return await select(name);
  } catch (error) {
    if (error instanceof errors.JWKSNoMatchingKey) return undefined;
    // Two keys of one name, or one that is broken: the set is at fault, not the token.
    throw keysUnavailable(error);
  }
}

function keysUnavailable(cause: unknown): AppError {
  return new AppError({
    kind: "transient",
    code: "auth_keys_unavailable",
    message: "The keys that bearer tokens are verified with cannot be fetched at the moment.",
    retryAfterMs: FAILURE_COOLDOWN_MS,
    cause,
  });
}
