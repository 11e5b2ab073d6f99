import type { Database } from "@pipeline/db";
import type { Check } from "./checklist.ts";
import type { Health } from "./health-answer.ts";
import { Skipped } from "./finding.ts";
import type { Http } from "./http.ts";
import type { Tokens } from "./tokens.ts";

export interface ValidationSettings {
  url: string;
  /** What the deployment must say that it is; undefined: whatever it says. */
  environment: string | undefined;
  /** A web page's origin that the API must allow. */
  origin: string | undefined;
  /** Of a request; the operators' alert has 2 s. */
  maxLatencyMs: number;
  /** How long the test document may take to become searchable. */
  documentTimeoutMs: number;
  /** What its workers are configured with; a job that counts more is a violated invariant. */
  maxRetries: number;
}

/** The running deployment as the checks see it. */
export interface Deployment {
  settings: ValidationSettings;
  /** Calls below the root. */
  root: Http;
  /** Calls below the API's prefix. */
  api: Http;
  tokens: Tokens;
  /** Its database, where a URL was given and it answers there; nothing is left behind in it. */
  database: Database | undefined;
  /** Why it does not answer there. */
  databaseFault?: string | undefined;
  /** What earlier checks found out. */
  known: Known;
}

export interface Known {
  health?: Health;
  document?: TestDocument;
}

/** The document that this run uploaded. */
export interface TestDocument {
  job_id: string;
  document_id: string;
  correlation_id: string;
  /** After this the worker's turn begins; undefined where the upload did not come to its confirmation. */
  confirmedAt?: number;
  /** How long it was waited for after that. */
  watchedMs?: number;
  completedMs?: number;
  events?: readonly DocumentEvent[];
  text: string;
  /** A question that one sentence of the text answers. */
  question: string;
  answer: string;
}

export interface DocumentEvent {
  type: string;
  status: string;
  state: string;
  code: string | null;
  correlation_id: string;
  created_at: string;
}

/** One part of the operators' guide. */
export type SectionChecks = (deployment: Deployment, check: Check) => Promise<void>;

export const API_PREFIX = "/api/upload-pipeline";

/** Throws Skipped where the token is missing, and says how it is given. */
export function needToken(tokens: Tokens, name: keyof typeof NEEDED_TOKENS): string {
  const token = tokens[name];
  if (token === undefined) throw new Skipped(`needs ${describeToken(tokens, name)}`);
  return token;
}

/** What is missing, how it is given, and why it could not be made. */
export function describeToken({ foreignSecretPath: path }: Tokens, name: keyof typeof NEEDED_TOKENS): string {
  const why = path === undefined ? "" : `; the secret in ${path} is not this deployment's`;
  return `${NEEDED_TOKENS[name]}${why}`;
}

const NEEDED_TOKENS = {
  user: "a user's token (--token, or SUPABASE_JWT_SECRET to make one)",
  otherUser: "a second user's token (--other-token, or SUPABASE_JWT_SECRET to make one)",
  service: "the service key (--service-key, or SUPABASE_JWT_SECRET to make a token)",
  expired: "SUPABASE_JWT_SECRET, to sign one that is too old",
} as const;
/** Not the service key: the API takes no other token for its metrics. */
export const METRICS_TOKEN = "the token for metrics (--metrics-token, or METRICS_TOKEN)";

/** Why the checks of the database are skipped. */
export function describeDatabase({ databaseFault }: Deployment): string {
  return databaseFault === undefined ? "the database (--database-url)" : "the database, which does not answer";
}
