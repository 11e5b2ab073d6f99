import {
  checkSchemaVersion,
  compareSchema,
  type Database,
  diagnose,
  findVectorVersion,
  listMissingTables,
  listServiceRoles,
  listUnprotectedTables,
  readClock,
  rehearseGuide,
  type SchemaDifference,
} from "@pipeline/db";
import type { Check } from "../checklist.ts";
import { describeDatabase, type SectionChecks } from "../deployment.ts";
import { Fault, Skipped } from "../finding.ts";
import { needHealth } from "./service-health.ts";

/** Of everything that compares times, the tokens are the least patient. */
export const MAX_CLOCK_SKEW_MS = 5_000;

export const database: SectionChecks = async (deployment, check) => {
  const { database: db, databaseFault, known, settings } = deployment;
  await check("The database answers", async () => {
    const health = needHealth(known.health);
    if (health.database === "healthy") return "says /health";
    throw new Fault(partOf(health.failing, "database"), "See the runbook: database failures.");
  });
  await check("The schema is the code's", async () => {
    const health = needHealth(known.health);
    const wrong = health.failing.find(({ part }) => part === "schema");
    if (wrong !== undefined) throw new Fault(`${wrong.code}: ${wrong.detail}`);
    if (health.schema_version === null) throw new Fault("the schema's version could not be found out");
    return `version ${health.schema_version}`;
  });
  if (databaseFault !== undefined) {
    await check("The database answers at --database-url", async () => {
      throw new Fault(databaseFault, "See the URL's host, user, password and name.");
    });
  }
  if (db === undefined) {
    await check("Tables, policies, extension, rows and clock", async () => {
      throw new Skipped(`needs ${describeDatabase(deployment)}; what the API sees of them is checked above and below`);
    });
    return;
  }
  await checkDirectly(db, { check, maxRetries: settings.maxRetries });
};

interface Direct {
  check: Check;
  maxRetries: number;
}

async function checkDirectly(db: Database, { check, maxRetries }: Direct): Promise<void> {
  const isKnown = await check("This checkout knows the schema", async () => `version ${await checkSchemaVersion(db)}`);
  await check("Every table is there", async () => {
    const missing = await listMissingTables(db);
    if (missing.length > 0) {
      throw new Fault(`missing in ${db.schemaName}: ${missing.join(", ")}`, "Restore them from a backup.");
    }
    return `in schema ${db.schemaName}`;
  });
  await check("pgvector is installed", async () => {
    const version = await findVectorVersion(db);
    if (version === undefined) throw new Fault("the extension vector is missing");
    return `version ${version}`;
  });
  await check("Row-level security closes every table", async () => {
    const open = await listUnprotectedTables(db);
    if (open.length > 0) throw new Fault(`off for ${open.join(", ")}`, "alter table … enable row level security");
    return "on for all";
  });
  await checkObjects(db, { check, isKnown });
  await check("The operators' own statements run", async () => {
    if (await rehearseGuide(db)) return "insert, insert and lock, taken back";
    throw new Fault("the guide's locking query found no job");
  });
  await check("Every invariant holds", async () => {
    const diagnoses = await diagnose(db, { maxRetries });
    const violated = diagnoses.filter(({ severity, total }) => severity === "error" && total > 0);
    if (violated.length === 0) return "the doctor found nothing";
    throw new Fault(
      violated.map(({ invariant, title, total }) => `${invariant} ${title}: ${total}`).join("; "),
      "pnpm run doctor",
    );
  });
  await check("The database's clock is right", async () => {
    const before = Date.now();
    const now = await readClock(db);
    const skew = Math.round(now.getTime() - (before + Date.now()) / 2);
    if (Math.abs(skew) > MAX_CLOCK_SKEW_MS) throw new Fault(`it is ${skew} ms off this machine's`, "Run NTP on both.");
    return { detail: `${skew} ms off this machine's`, figures: { database_skew_ms: skew } };
  });
}

/** Compared with what the migrations of this checkout make, if it is theirs. */
async function checkObjects(db: Database, { check, isKnown }: { check: Check; isKnown: boolean }): Promise<void> {
  let compared: SchemaDifference | undefined;
  const compare = async (): Promise<SchemaDifference> => {
    if (!isKnown) throw new Skipped("needs a checkout that knows the schema");
    compared ??= await compareSchema(db);
    return compared;
  };
  await check("Its policies are those of the migrations", async () => {
    const { missing, added } = await compare();
    const beyond = added.filter(isPolicy).map((line) => `beyond them: ${line}`);
    const absent = missing.filter(isPolicy).map((line) => `missing: ${line}`);
    if (beyond.length + absent.length > 0)
      throw new Fault(listFirst([...beyond, ...absent]), "drop policy … on …, and add what is missing.");
    return "no more and no fewer";
  });
  await check("Nobody else is granted anything", async () => {
    const { added } = await compare();
    const beyond = added.filter((line) => isGrant(line) && !isOfServices(db, line));
    if (beyond.length > 0) throw new Fault(listFirst(beyond), "Revoke it.");
    return `nobody beside the owner, ${listServiceRoles(db.schemaName).join(", ")} and users who read their own`;
  });
  await check("The services' roles may do what they need", async () => {
    const { missing } = await compare();
    const lacking = missing.filter((line) => isGrant(line) && isOfServices(db, line));
    if (lacking.length > 0) throw new Fault(`missing: ${listFirst(lacking)}`, "Grant it.");
    return listServiceRoles(db.schemaName).join(", ");
  });
  await check("Its indexes, constraints, triggers and functions are those of the migrations", async () => {
    const { missing, added } = await compare();
    const wrong = missing
      .filter((line) => !isPolicy(line) && !isGrant(line))
      .map((line) => {
        const broken = added.find((other) => other.startsWith(`${line} (`));
        return broken ?? `missing: ${line}`;
      });
    if (wrong.length > 0) throw new Fault(listFirst(wrong), "Make it again as the migrations do.");
    return "all there and in force";
  });
}

const isPolicy = (line: string): boolean => line.startsWith("policy ");
const isGrant = (line: string): boolean => line.startsWith("grant ");

function isOfServices(db: Database, line: string): boolean {
  return listServiceRoles(db.schemaName).some((role) => line.endsWith(` to ${role}`));
}

const MOST_NAMED = 10;

function listFirst(lines: readonly string[]): string {
  const more = lines.length > MOST_NAMED ? `; and ${lines.length - MOST_NAMED} more` : "";
  return `${lines.slice(0, MOST_NAMED).join("; ")}${more}`;
}

function partOf(failing: readonly { part: string; code: string; detail: string }[], part: string): string {
  const fault = failing.find((candidate) => candidate.part === part);
  return fault === undefined ? `${part} is unhealthy` : `${fault.code}: ${fault.detail}`;
}
