import { AppError, type ErrorKind } from "@pipeline/runtime";

/** SQLSTATE of the errors that our own trigger raises (migrations/0001_initial.sql). */
export const ILLEGAL_TRANSITION = "UP001";

/** SQLSTATE of a migration that may not create the services' roles; its message, which is ours, says what to do. */
const ROLES_MISSING = "UP002";

/** SQLSTATE of `refuse_upload`, whose message says which limit it is. */
const UPLOAD_REFUSED = "UP003";

interface Translation {
  kind: ErrorKind;
  code: string;
  message: string;
  retryAfterMs?: number;
}

/** Any error of the driver as an AppError; the driver's own stays as `cause` for the log. */
export function translateDatabaseError(thrown: unknown): AppError {
  if (thrown instanceof AppError) return thrown;
  return new AppError({ ...translationOf(sqlState(thrown), thrown), cause: thrown });
}

/** More is asked than can wait. */
export function databaseBusy(): AppError {
  return new AppError({ kind: "transient", code: "database_busy", message: "Too much is asked at once; ask again." });
}

/** An upload that would pass a limit of its user's: `daily_upload_limit` or `uploads_in_flight_limit`. */
export function uploadRefused(limit: "daily" | "in_flight"): AppError {
  return new AppError(limit === "daily" ? dailyLimit() : IN_FLIGHT_LIMIT);
}

/**
 * True where the server lets nobody in: it refuses the login, or has no such database. That passes while a service runs; at
 * its start it is a broken configuration.
 */
export function isAccessRefused(error: AppError): boolean {
  return error.code === LOGIN_REFUSED.code || error.code === DATABASE_MISSING.code;
}

/** True where a role lacks a privilege, or a client meets a policy: the operator's to mend, and no document's fault. */
export function isPrivilegeMissing(error: AppError): boolean {
  return error.code === PRIVILEGE_MISSING.code;
}

/** True where the database cannot be asked at all; a statement that was under way may have taken effect. */
export function isDatabaseAway(thrown: unknown): boolean {
  return thrown instanceof AppError && (thrown.code === UNAVAILABLE.code || isAccessRefused(thrown));
}

/** True where the connection cannot be used again: everything but the server's plain refusal of a statement. */
export function endsConnection(thrown: unknown): thrown is Error {
  if (!(thrown instanceof Error) || thrown instanceof AppError) return false;
  return !("severity" in thrown) || thrown.severity === "FATAL" || thrown.severity === "PANIC";
}

function sqlState(thrown: unknown): string | undefined {
  return thrown instanceof Error && "code" in thrown && typeof thrown.code === "string" ? thrown.code : undefined;
}

function translationOf(code: string | undefined, thrown: unknown): Translation {
  if (code === undefined) return isConnectionLoss(thrown) ? UNAVAILABLE : UNEXPECTED;
  if (code === ILLEGAL_TRANSITION || isJobCheck(thrown)) {
    return { kind: "conflict", code: "illegal_transition", message: "The job may not make this change." };
  }
  const own = ownTranslation(code, thrown);
  if (own) return own;
  if (CONFLICTS.has(code)) {
    return { kind: "transient", code: "database_conflict", message: "The database asked to try again." };
  }
  if (isUnavailable(code)) return UNAVAILABLE;
  return BY_SQLSTATE[code] ?? UNEXPECTED;
}

/** What our migrations and functions raise. */
function ownTranslation(code: string, thrown: unknown): Translation | undefined {
  if (code === ROLES_MISSING) return { kind: "permanent", code: "roles_missing", message: messageOf(thrown) };
  if (code === UPLOAD_REFUSED) return messageOf(thrown) === "daily" ? dailyLimit() : IN_FLIGHT_LIMIT;
  return undefined;
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : "";
}

/** Serialization failure, deadlock, lock not available, statement timeout: the same statement can succeed later. */
const CONFLICTS = new Set(["40001", "40P01", "55P03", "57014"]);

/** CHECKs of upload_jobs refuse combinations that no legal change leads to, and run before the trigger. */
function isJobCheck(thrown: unknown): boolean {
  return (
    thrown instanceof Error &&
    "constraint" in thrown &&
    typeof thrown.constraint === "string" &&
    thrown.constraint.startsWith("upload_jobs_") &&
    sqlState(thrown) === "23514"
  );
}

function dailyLimit(): Translation {
  return {
    kind: "rate_limited",
    code: "daily_upload_limit",
    message: "No more files can be uploaded today.",
    // the day is UTC's
    retryAfterMs: new Date().setUTCHours(24, 0, 0, 0) - Date.now(),
  };
}

const IN_FLIGHT_LIMIT: Translation = {
  kind: "rate_limited",
  code: "uploads_in_flight_limit",
  message: "Too many files are being processed. Upload more as they are done.",
  retryAfterMs: 10_000,
};

const UNAVAILABLE: Translation = {
  kind: "transient",
  code: "database_unavailable",
  message: "The database cannot be reached.",
};

const UNEXPECTED: Translation = {
  kind: "internal",
  code: "database_error",
  message: "The database refused a statement.",
};

/** Passing, like a server that is away: a password is being changed, a database restored. */
const LOGIN_REFUSED: Translation = {
  kind: "transient",
  code: "database_login_refused",
  message: "The database refuses this user or password.",
};

const DATABASE_MISSING: Translation = {
  kind: "transient",
  code: "database_missing",
  message: "The server has no database of this name.",
};

/** Which one it is stands in the log, in the server's words. */
const PRIVILEGE_MISSING: Translation = {
  kind: "transient",
  code: "database_privilege_missing",
  message: "The database withholds a privilege that this service needs.",
};

const BY_SQLSTATE: Readonly<Record<string, Translation>> = {
  "23505": { kind: "conflict", code: "already_exists", message: "A row with this key exists already." },
  "28P01": LOGIN_REFUSED,
  "28000": LOGIN_REFUSED,
  "3D000": DATABASE_MISSING,
  "42501": PRIVILEGE_MISSING,
  "23503": { kind: "conflict", code: "missing_reference", message: "A row that this one refers to is missing." },
};

/** Classes 08 (connection), 53 (resources), 57P (shutdown, start-up), time-outs that end it, and the socket's own codes. */
function isUnavailable(code: string): boolean {
  return /^(08|53|57P|25P03|25P04)/.test(code) || /^(ECONN|EPIPE|ETIMEDOUT|EHOST|ENOTFOUND|EAI_)/.test(code);
}

/** node-postgres reports these without a code. */
function isConnectionLoss(thrown: unknown): boolean {
  return thrown instanceof Error && /terminat|timeout|ended|closed|calling end|not queryable/i.test(thrown.message);
}
