import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { environmentSchema, parseEnvironment, type Service } from "@pipeline/runtime";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { z } from "zod";

const ROOT = join(import.meta.dirname, "../../..");

/**
 * What we use of Render's format, as https://render.com/docs/blueprint-spec and the JSON Schema that it links to have it on
 * the day of writing. Strict: a field that is misspelt, or that Render's schema has for another type of service, is
 * an error there too. Prompts (`sync: false`) are ignored in groups; health checks are of web services alone.
 */
const prompt = z.strictObject({ key: z.string(), sync: z.literal(false) });
const literal = z.strictObject({ key: z.string(), value: z.string() });
const group = z.strictObject({ fromGroup: z.string() });
const server = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9-]*$/),
  runtime: z.literal("docker"),
  plan: z.enum(["starter", "standard", "pro", "pro plus", "pro max", "pro ultra"]),
  region: z.enum(["oregon", "ohio", "virginia", "frankfurt", "singapore"]),
  branch: z.string(),
  autoDeployTrigger: z.enum(["off", "commit", "checksPass"]),
  dockerfilePath: z.string(),
  dockerContext: z.string(),
  maxShutdownDelaySeconds: z.int().min(1).max(300),
  envVars: z.array(z.union([prompt, literal, group])),
});
const blueprint = z.strictObject({
  services: z.array(
    z.discriminatedUnion("type", [
      server.extend({
        type: z.literal("web"),
        preDeployCommand: z.string(),
        healthCheckPath: z.string().startsWith("/"),
      }),
      server.extend({ type: z.literal("worker") }),
    ]),
  ),
  envVarGroups: z.array(z.strictObject({ name: z.string(), envVars: z.array(literal) })),
});

const { services, envVarGroups } = blueprint.parse(parse(readFileSync(join(ROOT, "render.yaml"), "utf8")));

/** Of the form that each must have, and of nobody. */
const SECRETS: Readonly<Record<string, string>> = {
  MIGRATE_DATABASE_URL: "postgresql://postgres:of-nobody@db.abcdefghijklmnopqrst.supabase.co:5432/postgres",
  DATABASE_API_PASSWORD: "of-nobody-0123456789",
  DATABASE_WORKER_PASSWORD: "of-nobody-0123456789",
  DATABASE_URL: "postgresql://pipeline_api:of-nobody@db.abcdefghijklmnopqrst.supabase.co:5432/postgres",
  SUPABASE_URL: "https://abcdefghijklmnopqrst.supabase.co",
  SUPABASE_ANON_KEY: "sb_publishable_of_nobody_0123456789",
  SUPABASE_SERVICE_ROLE_KEY: "sb_secret_of_nobody_0123456789",
  OPENAI_API_KEY: "sk-of-nobody-0123456789",
  LLAMAPARSE_API_KEY: "llx-of-nobody-0123456789",
  CORS_ORIGINS: "https://app.example.com",
  SERVICE_PUBLIC_URL: "https://api.example.com",
  METRICS_TOKEN: "of-nobody-0123456789",
  ALERT_WEBHOOK_URL: "https://hooks.example.com/of-nobody",
};

function variablesOf({ envVars }: (typeof services)[number]): Record<string, string | undefined> {
  return Object.fromEntries(
    envVars.flatMap((variable): [string, string | undefined][] => {
      if ("sync" in variable) return [[variable.key, SECRETS[variable.key]]];
      if ("value" in variable) return [[variable.key, variable.value]];
      const found = envVarGroups.find(({ name }) => name === variable.fromGroup);
      return (found?.envVars ?? []).map(({ key, value }) => [key, value]);
    }),
  );
}

const appOf = (type: "web" | "worker"): Service => (type === "web" ? "api" : "worker");

describe("the Render blueprint", () => {
  it("has both services of both environments, each on its branch", () => {
    expect(services.map(({ name, type, branch, plan, region }) => [name, type, branch, plan, region])).toEqual([
      ["api-service-staging", "web", "staging", "starter", "oregon"],
      ["upload-worker-staging", "worker", "staging", "starter", "oregon"],
      ["api-service", "web", "main", "starter", "oregon"],
      ["upload-worker", "worker", "main", "starter", "oregon"],
    ]);
  });

  it("deploys by branch, and in production only what the checks have passed", () => {
    for (const { branch, autoDeployTrigger } of services) {
      expect(autoDeployTrigger).toBe(branch === "staging" ? "commit" : "checksPass");
    }
  });

  it("checks the API's health, migrates before it, and listens in staging on port 10000", () => {
    for (const service of services) {
      if (service.type !== "web") continue;
      expect(service.healthCheckPath).toBe("/health/live");
      expect(existsSync(join(ROOT, service.preDeployCommand.split(" ").at(-1) ?? ""))).toBe(true);
      expect(variablesOf(service)["PORT"]).toBe("10000");
    }
  });

  it("gives the worker longer than its own deadline to finish what it has in hand", () => {
    for (const { type, maxShutdownDelaySeconds } of services) {
      expect(maxShutdownDelaySeconds).toBeGreaterThan(type === "worker" ? 25 + 10 : 9);
    }
  });

  it("names files and groups that are there, and every group is used", () => {
    for (const { dockerfilePath, dockerContext } of services) {
      expect(existsSync(join(ROOT, dockerContext, dockerfilePath))).toBe(true);
    }
    const used = services.flatMap(({ envVars }) =>
      envVars.flatMap((item) => ("fromGroup" in item ? [item.fromGroup] : [])),
    );
    expect(new Set(used)).toEqual(new Set(envVarGroups.map(({ name }) => name)));
  });

  it("names only variables that the services know, and each once", () => {
    const known = new Set(Object.keys(environmentSchema.shape));
    for (const { envVars } of services) {
      const groups = new Set(envVars.flatMap((item) => ("fromGroup" in item ? [item.fromGroup] : [])));
      const names = [
        ...envVars.flatMap((item) => ("key" in item ? [item.key] : [])),
        ...envVarGroups.filter(({ name }) => groups.has(name)).flatMap((item) => item.envVars.map(({ key }) => key)),
      ];
      expect(names.filter((name) => !known.has(name))).toEqual([]);
      expect(new Set(names).size).toBe(names.length);
    }
  });

  it("holds no secret's value", () => {
    const values = [
      ...services.flatMap(({ envVars }) => envVars.filter((item) => "value" in item)),
      ...envVarGroups.flatMap(({ envVars }) => envVars),
    ];
    expect(values.filter(({ key }) => /KEY|SECRET|PASSWORD|TOKEN|_URL$|WEBHOOK/.test(key))).toEqual([]);
  });

  it.each(services)(
    "$name starts with what it is given, and without any one of its secrets it says what is missing",
    (service) => {
      const variables = variablesOf(service);
      const app = appOf(service.type);
      expect(parseEnvironment(variables, app)).toMatchObject({
        ENVIRONMENT: service.branch === "staging" ? "staging" : "production",
        DATABASE_SCHEMA: service.branch === "staging" ? "upload_pipeline_staging" : "upload_pipeline",
      });
      const required = ["DATABASE_URL", "SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY", "OPENAI_API_KEY"];
      required.push(app === "api" ? "CORS_ORIGINS" : "LLAMAPARSE_API_KEY");
      for (const name of required) {
        expect(() => parseEnvironment({ ...variables, [name]: undefined }, app)).toThrow(name);
      }
    },
  );

  it("believes the platform's proxies and no more, so that users have an address each", () => {
    for (const service of services) {
      const { TRUST_PROXY: proxies } = parseEnvironment(variablesOf(service), appOf(service.type));
      // A number would have to be that of the proxies before every request; one too many and clients choose their address.
      expect(proxies).toEqual(expect.arrayContaining(["10.0.0.0/8", "172.64.0.0/13", "2606:4700::/32"]));
    }
  });

  it("bounds what paid services may cost, the same for all processes of an environment", () => {
    for (const service of services) {
      const { BUDGET_USD_PER_DAY: all, BUDGET_USD_PER_USER_PER_DAY: user } = parseEnvironment(
        variablesOf(service),
        appOf(service.type),
      );
      expect(user ?? 0).toBeGreaterThan(0);
      expect(all ?? 0).toBeGreaterThan(user ?? 0);
    }
  });

  it("migrates as the owner, and gives that address to nobody but the API's deploy", () => {
    for (const service of services) {
      const has = "MIGRATE_DATABASE_URL" in variablesOf(service);
      expect(has).toBe(service.type === "web");
    }
  });

  it("migrates with what the API is given", () => {
    const schemas = services
      .filter(({ type }) => type === "web")
      .map((service) => parseEnvironment(variablesOf(service), "migrate").DATABASE_SCHEMA);
    expect(schemas).toEqual(["upload_pipeline_staging", "upload_pipeline"]);
  });
});
