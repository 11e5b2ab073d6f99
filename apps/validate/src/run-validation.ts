import { type Database, readClock } from "@pipeline/db";
import { toAppError } from "@pipeline/runtime";
import { createChecklist } from "./checklist.ts";
import { API_PREFIX, type Deployment, type SectionChecks, type ValidationSettings } from "./deployment.ts";
import { type Finding, type Section, SECTIONS } from "./finding.ts";
import { createHttp } from "./http.ts";
import { communication } from "./sections/communication.ts";
import { database as databaseChecks } from "./sections/database.ts";
import { document, removeDocument } from "./sections/document.ts";
import { errorHandling } from "./sections/error-handling.ts";
import { isolation } from "./sections/isolation.ts";
import { jobQueue } from "./sections/job-queue.ts";
import { monitoring } from "./sections/monitoring.ts";
import { performance as speed } from "./sections/performance.ts";
import { security } from "./sections/security.ts";
import { serviceHealth } from "./sections/service-health.ts";
import type { Tokens } from "./tokens.ts";

export interface ValidationInput {
  settings: ValidationSettings;
  tokens: Tokens;
  database: Database | undefined;
  onFinding: (finding: Finding) => void;
  /** Only these parts of the guide; all of them by default. */
  sections?: readonly Section[];
  /** Ends the walk after the check under way; what was uploaded is still deleted. */
  signal?: AbortSignal;
}

export interface Validation {
  url: string;
  environment: string;
  build: string;
  started_at: string;
  seconds: number;
  /** Stopped before its end: what is missing was not looked at. */
  is_complete: boolean;
  findings: readonly Finding[];
}

const CHECKS: Readonly<Record<Section, SectionChecks>> = {
  "Service health": serviceHealth,
  Database: databaseChecks,
  "Job queue": jobQueue,
  "End-to-end document": document,
  Communication: communication,
  "Error handling": errorHandling,
  Security: security,
  Performance: speed,
  "Environment isolation": isolation,
  Monitoring: monitoring,
};

/** Walks the operators' guide against a running deployment, and takes away again what it has put there. */
export async function runValidation(input: ValidationInput): Promise<Validation> {
  const { settings, tokens, signal, sections = SECTIONS } = input;
  const startedAt = new Date();
  const root = createHttp(settings.url);
  const api = createHttp(`${settings.url}${API_PREFIX}`);
  const databaseFault = input.database && (await findDatabaseFault(input.database));
  const database = databaseFault === undefined ? input.database : undefined;
  const deployment: Deployment = { settings, root, api, tokens, database, databaseFault, known: {} };
  const checklist = createChecklist(input.onFinding);
  try {
    for (const section of SECTIONS.filter((candidate) => sections.includes(candidate))) {
      if (signal?.aborted !== true) await CHECKS[section](deployment, checklist.inSection(section));
    }
  } finally {
    await removeDocument(deployment, checklist.inSection("End-to-end document"));
  }
  const { environment, build } = deployment.known.health ?? { environment: "unknown", build: "unknown" };
  return {
    url: settings.url,
    environment,
    build,
    started_at: startedAt.toISOString(),
    seconds: Math.round((Date.now() - startedAt.getTime()) / 100) / 10,
    is_complete: signal?.aborted !== true,
    findings: checklist.findings,
  };
}

/** Undefined where it answers. Found out once: each check that needs it would fail on its own otherwise. */
async function findDatabaseFault(database: Database): Promise<string | undefined> {
  try {
    await readClock(database);
    return undefined;
  } catch (error) {
    const { code, message } = toAppError(error);
    return `${code}: ${message}`;
  }
}
