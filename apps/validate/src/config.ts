import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { environmentSchema } from "@pipeline/runtime";

const PROJECT_ROOT = join(import.meta.dirname, "../../..");

/** What is known of the deployment from the environment; an empty value counts as unset. */
export interface ValidateConfig {
  jwtSecret: string | undefined;
  /** What `pnpm start` of this checkout signs with: a deployment on this machine may be another one. */
  localSecret: LocalSecret | undefined;
  supabaseUrl: string | undefined;
  serviceKey: string | undefined;
  metricsToken: string | undefined;
  schemaName: string;
  maxRetries: number;
}

export interface LocalSecret {
  path: string;
  secret: string;
}

/** Throws ZodError where a variable is malformed. */
export async function loadValidateConfig(deploymentUrl: string): Promise<ValidateConfig> {
  const given = Object.fromEntries(Object.entries(process.env).filter(([, value]) => value !== ""));
  const environment = environmentSchema
    .pick({
      SUPABASE_URL: true,
      SUPABASE_JWT_SECRET: true,
      SUPABASE_SERVICE_ROLE_KEY: true,
      METRICS_TOKEN: true,
      DATABASE_SCHEMA: true,
      WORKER_MAX_RETRIES: true,
      DATA_DIR: true,
    })
    .parse(given);
  const { SUPABASE_URL: supabaseUrl, SUPABASE_JWT_SECRET: jwtSecret } = environment;
  return {
    jwtSecret,
    localSecret:
      jwtSecret === undefined && supabaseUrl === undefined
        ? await findLocalSecret(deploymentUrl, environment.DATA_DIR)
        : undefined,
    supabaseUrl,
    serviceKey: environment.SUPABASE_SERVICE_ROLE_KEY,
    metricsToken: environment.METRICS_TOKEN,
    schemaName: environment.DATABASE_SCHEMA,
    maxRetries: environment.WORKER_MAX_RETRIES,
  };
}

/** Never made here: a secret that the deployment does not have would only be refused. */
async function findLocalSecret(deploymentUrl: string, dataDirectory: string): Promise<LocalSecret | undefined> {
  if (!/^(localhost|127\.|\[::1\])/.test(new URL(deploymentUrl).hostname)) return undefined;
  const path = join(isAbsolute(dataDirectory) ? dataDirectory : join(PROJECT_ROOT, dataDirectory), "token-secret");
  return existsSync(path) ? { path, secret: (await readFile(path, "utf8")).trim() } : undefined;
}
