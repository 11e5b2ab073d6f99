import { readFileSync } from "node:fs";
import { join } from "node:path";
import { environmentSchema } from "@pipeline/runtime";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { z } from "zod";

const serviceShape = z.looseObject({
  environment: z.record(z.string(), z.union([z.string(), z.null()])).default({}),
  volumes: z.array(z.string()).default([]),
});
const composeFile = z.object({ services: z.record(z.string(), serviceShape) });

const text = readFileSync(join(import.meta.dirname, "../../../docker-compose.yml"), "utf8");
const { services } = composeFile.parse(parse(text, { merge: true }));

/** What a container must not be told, and why. */
const LEFT_OUT: Readonly<Record<string, string>> = {
  BUILD_COMMIT: "the image's own",
  SERVICE_HOST: "the image's own",
  SERVICE_PORT: "the image's own; API_PORT is the one outside",
  PORT: "the image's own; API_PORT is the one outside",
  WORKER_HEALTH_PORT: "the image's own",
  DATA_DIR: "the image's own, where the volume is",
  DATABASE_URL: "the stack's own database, in parts",
  DATABASE_DIRECT_URL: "no pooler stands before it",
  MIGRATE_DATABASE_URL: "the service migrate has the owner's login",
  DATABASE_API_PASSWORD: "API_DB_PASSWORD: docker/logins.sql makes the logins",
  DATABASE_WORKER_PASSWORD: "WORKER_DB_PASSWORD: docker/logins.sql makes the logins",
  SUPABASE_DB_PORT: "the default",
  SUPABASE_URL: "files lie in the volume; docs/deploy.md names what to add for a project",
  SUPABASE_ANON_KEY: "as SUPABASE_URL",
  SUPABASE_SERVICE_ROLE_KEY: "as SUPABASE_URL",
};

/** Signs and checks users' tokens, which workers never see. */
const API_ALONE = ["SUPABASE_JWT_SECRET"];

const variablesOf = (name: string): Record<string, string | null> => services[name]?.environment ?? {};

describe("the compose file", () => {
  it.each(["api", "worker"])("tells the %s of every variable that is not left out on purpose", (name) => {
    const told = new Set([...Object.keys(variablesOf(name)), ...(name === "worker" ? API_ALONE : [])]);
    const known = environmentSchema.keyof().options;
    expect(known.filter((variable) => !told.has(variable) && !(variable in LEFT_OUT))).toEqual([]);
    expect(Object.keys(LEFT_OUT).filter((variable) => told.has(variable))).toEqual([]);
  });

  it("passes what is set outside under the same name, and nothing where nothing is", () => {
    const passed = Object.entries(variablesOf("worker")).filter(([, value]) => value?.endsWith(":-}"));
    expect(passed.length).toBeGreaterThan(30);
    for (const [name, value] of passed) expect(value).toBe(`\${${name}:-}`);
  });

  it("tells services of no variable that they do not know", () => {
    const known = new Set<string>(environmentSchema.keyof().options);
    for (const name of ["api", "worker", "migrate"]) {
      expect(Object.keys(variablesOf(name)).filter((variable) => !known.has(variable))).toEqual([]);
    }
  });

  it("names one database everywhere, which a restore can change", () => {
    const name = "${SUPABASE_DB_NAME:-pipeline}";
    for (const service of ["api", "worker", "migrate"]) expect(variablesOf(service)["SUPABASE_DB_NAME"]).toBe(name);
    expect(variablesOf("postgres")["POSTGRES_DB"]).toBe(name);
    expect(variablesOf("logins")["PGDATABASE"]).toBe(name);
  });

  it("shows operators' commands the files", () => {
    for (const service of ["api", "worker", "migrate"]) expect(services[service]?.volumes).toContain("data:/data");
  });
});
