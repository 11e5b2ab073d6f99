import { z } from "zod";
import { jsonObject } from "./rows.ts";
import { one, type Queryable } from "./queryable.ts";

export const SERVICES = ["api", "worker"] as const;
export type ServiceName = (typeof SERVICES)[number];

/** What all processes of one deployment have alike. */
export interface Agreement {
  environment: string;
  /** The schema version that the code was written for. */
  schema_version: number;
  /** Where files are, without keys. */
  storage: string;
  embed_model: string;
}

export interface InstanceIdentity extends Agreement {
  instance_id: string;
  service: ServiceName;
  hostname: string;
  pid: number;
  build: string;
  /** Today's budget of everybody, in US dollars, as this process has it; null: none. */
  budget_usd_per_day: number | null;
}

const instanceRow = z.object({
  instance_id: z.string(),
  service: z.enum(SERVICES),
  hostname: z.string(),
  pid: z.number(),
  build: z.string(),
  environment: z.string(),
  schema_version: z.number(),
  storage: z.string(),
  embed_model: z.string(),
  budget_usd_per_day: z.number().nullable(),
  traffic: jsonObject.nullable(),
  started_at: z.date(),
  heartbeat_at: z.date(),
});
export type InstanceRow = z.infer<typeof instanceRow>;

/** Says that this process runs, for so long; `traffic` is what an API served lately. */
export async function beatInstance(
  db: Queryable,
  { traffic, lifeMs, ...identity }: InstanceIdentity & { traffic: object | null; lifeMs: number },
): Promise<void> {
  await db.run(
    `insert into ${db.schema}.service_instances (instance_id, service, hostname, pid, build, environment, schema_version,
       storage, embed_model, budget_usd_per_day, traffic, expires_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::jsonb, now() + $12::float8 * interval '1 ms')
     on conflict (instance_id) do update
     set traffic = excluded.traffic, heartbeat_at = now(), expires_at = excluded.expires_at`,
    [
      identity.instance_id,
      identity.service,
      identity.hostname,
      identity.pid,
      identity.build,
      identity.environment,
      identity.schema_version,
      identity.storage,
      identity.embed_model,
      identity.budget_usd_per_day,
      traffic === null ? null : JSON.stringify(traffic),
      lifeMs,
    ],
  );
}

export async function endInstance(db: Queryable, instanceId: string): Promise<void> {
  await db.run(`delete from ${db.schema}.service_instances where instance_id = $1`, [instanceId]);
}

/** Processes that run now. */
export function listLiveInstances(db: Queryable): Promise<InstanceRow[]> {
  return db.many(
    instanceRow,
    `select instance_id, service, hostname, pid, build, environment, schema_version, storage, embed_model,
       budget_usd_per_day, traffic, started_at, heartbeat_at
     from ${db.schema}.service_instances where expires_at > now() order by service, started_at, instance_id`,
  );
}

/** Processes that ended without a word are kept for a day, for whoever looks for them. */
export function forgetInstances(db: Queryable): Promise<number> {
  return db.run(`delete from ${db.schema}.service_instances where expires_at < now() - interval '1 day'`);
}

const installationRow = z.object({
  /** Of this schema in this database; a restored copy has the same. */
  installation_id: z.string(),
  database: z.string(),
  /** The newest migration applied. */
  schema_version: z.number(),
});
export type Installation = z.infer<typeof installationRow>;

/** Which rows these are, whatever address they were reached at. */
export function getInstallation(db: Queryable): Promise<Installation> {
  return one(
    db,
    installationRow,
    `select installation_id, current_database()::text as database,
       (select coalesce(max(version), 0)::int from ${db.schema}.schema_migrations) as schema_version
     from ${db.schema}.installation`,
  );
}
