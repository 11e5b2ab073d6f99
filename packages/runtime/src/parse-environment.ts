import { z } from "zod";
import { environmentSchema, type Environment, type EnvironmentName } from "./environment.ts";
import { findSupabaseFaults } from "./supabase-keys.ts";

/** What runs; `local` is the whole system in one process on stand-ins. Each needs other variables. */
export type Service = "api" | "worker" | "migrate" | "local";

/** Every fault of a configuration at once, one line each; never holds a value of a secret. */
export class ConfigError extends Error {
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(
      `The configuration has ${faults.length} fault${faults.length === 1 ? "" : "s"}:\n${faults.map((fault) => `  - ${fault}`).join("\n")}`,
    );
    this.name = "ConfigError";
    this.faults = faults;
  }
}

/**
 * The environment as typed values. Throws ConfigError with all faults: malformed or placeholder values, misspelt names,
 * and, in staging and production, whatever is missing for this service or would fall back to a local stand-in.
 */
export function parseEnvironment(
  variables: Readonly<Record<string, string | undefined>>,
  service: Service,
): Environment {
  const given = Object.fromEntries(
    Object.entries(variables).filter(([, value]) => value !== undefined && value !== ""),
  );
  const parsed = environmentSchema.safeParse(given);
  const faults = [
    ...(parsed.success ? [] : parsed.error.issues.map(describeIssue)),
    ...findPlaceholders(given),
    ...findMisspelt(given),
    ...findMissing(given, service),
    ...findSupabaseFaults(given, service !== "migrate"),
  ];
  if (!parsed.success || faults.length > 0) throw new ConfigError([...new Set(faults)].toSorted());
  return parsed.data;
}

/** `parseEnvironment` for a process's entry: prints every fault on standard error and exits with 1. */
export function loadEnvironment(
  variables: Readonly<Record<string, string | undefined>>,
  service: Service,
): Environment {
  try {
    return parseEnvironment(variables, service);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  }
}

type Given = Readonly<Record<string, string | undefined>>;

function describeIssue(issue: z.core.$ZodIssue): string {
  const name = String(issue.path[0] ?? "environment");
  return `${name} ${issue.message.startsWith("i") ? issue.message : `is not valid: ${issue.message}`}`;
}

/** What people leave in from a template. */
const PLACEHOLDER =
  /change[-_ ]?me|your[-_ ]|placeholder|x{6,}|^x{3,}$|<[^>]*>|replace[-_ ]?(me|with|this)|^todo$|\.\.\.|^(secret|password|dummy)$/i;

/** Published in Supabase's own templates: known to everybody. */
const PUBLISHED = /^super-secret-jwt-token/;

/** Where such words can be part of a real name. */
const NAMES_OF_SITES = new Set<string>(["CORS_ORIGINS", "SERVICE_PUBLIC_URL", "SERVICE_HOST", "DATA_DIR"]);

function findPlaceholders(given: Given): string[] {
  return knownNames()
    .filter((name) => !NAMES_OF_SITES.has(name))
    .filter((name) => PLACEHOLDER.test(given[name] ?? "") || PUBLISHED.test(given[name] ?? ""))
    .map((name) => `${name} still holds a placeholder`);
}

/** Prefixes that are ours alone: a name that starts so and is unknown is a typing error that would go unnoticed. */
const OWN_PREFIXES = /^(WORKER_|RAG_|LLAMAPARSE_|SERVICE_|BUDGET_|SUPABASE_DB_|DATABASE_POOL|CORS_)/;

/** Render sets variables of its own that share a prefix with nothing of ours; these two come from Kubernetes. */
const FOREIGN_NAMES = /^SERVICE_(ACCOUNT|NAME)/;

function findMisspelt(given: Given): string[] {
  const known = new Set<string>(knownNames());
  return Object.keys(given)
    .filter((name) => OWN_PREFIXES.test(name) && !FOREIGN_NAMES.test(name) && !known.has(name))
    .map((name) => `${name} is not a variable that this project knows`);
}

const REMOTE_REQUIREMENTS: Readonly<Record<Service, Partial<Record<EnvironmentName, string>>>> = {
  api: {
    SUPABASE_URL: "is missing: the local disk store is refused here",
    SUPABASE_SERVICE_ROLE_KEY: "is missing",
    OPENAI_API_KEY: "is missing: the local embedder is refused here",
    CORS_ORIGINS: "is missing",
  },
  worker: {
    SUPABASE_URL: "is missing: the local disk store is refused here",
    SUPABASE_SERVICE_ROLE_KEY: "is missing",
    LLAMAPARSE_API_KEY: "is missing: the local parser is refused here",
    OPENAI_API_KEY: "is missing: the local embedder is refused here",
  },
  migrate: {},
  local: {},
};

function findMissing(given: Given, service: Service): string[] {
  const remote = isRemote(given["ENVIRONMENT"]);
  const faults = [...findMissingDatabase(given, service)];
  if (remote && service === "local")
    faults.push("ENVIRONMENT must be development or test: the local stack is refused here");
  if (!remote) return faults;
  for (const [name, fault] of Object.entries(REMOTE_REQUIREMENTS[service])) {
    if (given[name] === undefined) faults.push(`${name} ${fault}`);
  }
  return [...faults, ...findMissingTokenKeys(given, service)];
}

/** SUPABASE_URL brings the project's public keys; projects that sign with a shared secret list none there. */
function findMissingTokenKeys(given: Given, service: Service): string[] {
  if (service !== "api" || given["SUPABASE_JWT_SECRET"] !== undefined || given["SUPABASE_URL"] !== undefined) return [];
  return ["SUPABASE_JWT_SECRET is missing, as is SUPABASE_URL: one of them must give the keys of users' tokens"];
}

function findMissingDatabase(given: Given, service: Service): string[] {
  if (given["DATABASE_URL"] !== undefined) {
    return given["SUPABASE_DB_HOST"] === undefined
      ? []
      : ["SUPABASE_DB_HOST is set beside DATABASE_URL: name the database once"];
  }
  if (given["SUPABASE_DB_HOST"] !== undefined) {
    return given["SUPABASE_DB_PASSWORD"] === undefined
      ? ["SUPABASE_DB_PASSWORD is missing: SUPABASE_DB_HOST needs it"]
      : [];
  }
  if (given["DATABASE_DIRECT_URL"] !== undefined) {
    return ["DATABASE_URL is missing: DATABASE_DIRECT_URL serves wake-ups alone"];
  }
  return service === "local"
    ? []
    : [
        "DATABASE_URL is missing: separate processes share a Postgres server (`start` runs all in one, on an embedded one)",
      ];
}

function isRemote(environment: string | undefined): boolean {
  // A name that is not known counts as remote: its faults are wanted all at once.
  return environment !== undefined && environment !== "development" && environment !== "test";
}

function knownNames(): EnvironmentName[] {
  return environmentSchema.keyof().options;
}
