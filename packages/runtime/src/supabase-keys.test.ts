import { createHmac } from "node:crypto";
import { expect, test } from "vitest";
import { findSupabaseFaults } from "./supabase-keys.ts";

const SECRET = "the secret of the project's tokens";
const REF = "abcdefghijklmnopqrst";
const OTHER_REF = "tsrqponmlkjihgfedcba";
const URL_OF_PROJECT = `https://${REF}.supabase.co`;

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");

function keyOf(claims: Record<string, unknown>, secret = SECRET): string {
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

const service = (claims: Record<string, unknown> = {}, secret = SECRET): string =>
  keyOf({ iss: "supabase", ref: REF, role: "service_role", exp: 4_000_000_000, ...claims }, secret);
const anon = (claims: Record<string, unknown> = {}): string => service({ role: "anon", ...claims });

const GOOD = {
  SUPABASE_URL: URL_OF_PROJECT,
  SUPABASE_SERVICE_ROLE_KEY: service(),
  SUPABASE_ANON_KEY: anon(),
  SUPABASE_JWT_SECRET: SECRET,
};
const faultsOf = (variables: Record<string, string> = {}): string[] =>
  findSupabaseFaults({ ...GOOD, ...variables }, true);

test("keys of one project, in their places, have no fault", () => {
  expect(faultsOf()).toEqual([]);
});

test.each([
  [
    "swapped keys",
    { SUPABASE_SERVICE_ROLE_KEY: anon(), SUPABASE_ANON_KEY: service() },
    [
      /^SUPABASE_SERVICE_ROLE_KEY is not a key of the role service_role$/,
      /^SUPABASE_ANON_KEY is not a key of the role anon$/,
    ],
  ],
  [
    "a public key of the newer kind for the service",
    { SUPABASE_SERVICE_ROLE_KEY: "sb_publishable_0123456789" },
    [/^SUPABASE_SERVICE_ROLE_KEY is not a key of the role/],
  ],
  [
    "a secret key of the newer kind for browsers",
    { SUPABASE_ANON_KEY: "sb_secret_0123456789" },
    [/^SUPABASE_ANON_KEY is not a key of the role/],
  ],
  ["a key past its time", { SUPABASE_ANON_KEY: anon({ exp: 1_700_000_000 }) }, [/^SUPABASE_ANON_KEY has expired$/]],
  [
    "an address of another project",
    { SUPABASE_URL: `https://${OTHER_REF}.supabase.co` },
    [
      /^SUPABASE_SERVICE_ROLE_KEY is a key of another project than SUPABASE_URL$/,
      /^SUPABASE_ANON_KEY is a key of another project/,
    ],
  ],
  [
    "an issuer at another address",
    { SUPABASE_URL: "http://127.0.0.1:8003", SUPABASE_ANON_KEY: anon({ iss: "http://127.0.0.1:8004/auth/v1" }) },
    [/^SUPABASE_ANON_KEY is a key of another project/],
  ],
  [
    "keys of two projects behind an address that tells none",
    { SUPABASE_URL: "https://files.example.test", SUPABASE_ANON_KEY: anon({ ref: OTHER_REF }) },
    [/^SUPABASE_SERVICE_ROLE_KEY and SUPABASE_ANON_KEY are keys of different projects$/],
  ],
  [
    "a secret of another project",
    { SUPABASE_JWT_SECRET: "another project's secret" },
    [/^SUPABASE_SERVICE_ROLE_KEY is not signed with SUPABASE_JWT_SECRET/, /^SUPABASE_ANON_KEY is not signed/],
  ],
])("%s are told by name", (_, variables, faults) => {
  expect(faultsOf(variables)).toEqual(faults.map((fault) => expect.stringMatching(fault)));
});

test("keys that say nothing are not doubted", () => {
  const opaque = { SUPABASE_SERVICE_ROLE_KEY: "sb_secret_0123456789", SUPABASE_ANON_KEY: "sb_publishable_0123456789" };
  expect(faultsOf(opaque)).toEqual([]);
  expect(faultsOf({ SUPABASE_SERVICE_ROLE_KEY: "neither.a.token", SUPABASE_ANON_KEY: "plain" })).toEqual([]);
});

test("half of what storage needs is a fault where storage is needed", () => {
  const url = { SUPABASE_URL: URL_OF_PROJECT };
  const key = { SUPABASE_SERVICE_ROLE_KEY: service() };
  expect(findSupabaseFaults(url, true)).toEqual(["SUPABASE_SERVICE_ROLE_KEY is missing"]);
  expect(findSupabaseFaults(key, true)).toEqual(["SUPABASE_URL is missing: SUPABASE_SERVICE_ROLE_KEY is set"]);
  expect([...findSupabaseFaults(url, false), ...findSupabaseFaults(key, false)]).toEqual([]);
});

test("no fault holds a part of a key", () => {
  const told = faultsOf({ SUPABASE_SERVICE_ROLE_KEY: anon({ exp: 1, ref: OTHER_REF }) }).join("\n");
  expect(told).not.toBe("");
  expect(told).not.toMatch(/eyJ|abcdef|tsrq/u);
});
