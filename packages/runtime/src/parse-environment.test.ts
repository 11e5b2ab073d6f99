import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { expect, test } from "vitest";
import { environmentSchema } from "./environment.ts";
import { ConfigError, parseEnvironment, type Service } from "./parse-environment.ts";

const DATABASE_URL = "postgresql://user:pass@127.0.0.1:5432/pipeline";

function faultsOf(variables: Record<string, string>, service: Service = "api"): readonly string[] {
  try {
    parseEnvironment(variables, service);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
}

test("the example file names exactly the variables of the schema, with their defaults", async () => {
  const example = parseEnv(await readFile(join(import.meta.dirname, "../../../.env.example"), "utf8"));
  expect(Object.keys(example).toSorted()).toEqual(environmentSchema.keyof().options.toSorted());
  const fromExample = parseEnvironment({ ...example, DATABASE_URL }, "api");
  expect(fromExample).toEqual(parseEnvironment({ DATABASE_URL }, "api"));
});

test("development needs nothing but a database", () => {
  const environment = parseEnvironment({ DATABASE_URL }, "worker");
  expect(environment).toMatchObject({ ENVIRONMENT: "development", SERVICE_PORT: 8000, WORKER_MAX_RETRIES: 3 });
});

test("history is kept for 90 days, for ever with 0, and never for less than a day", () => {
  for (const [age, seconds] of Object.entries({ "": 90 * 86_400, "0": 0, "86400": 86_400 })) {
    const environment = parseEnvironment({ DATABASE_URL, WORKER_HISTORY_AGE: age }, "worker");
    expect(environment.WORKER_HISTORY_AGE).toBe(seconds);
  }
  for (const refused of ["86399", "-1", "90d"]) {
    expect(faultsOf({ DATABASE_URL, WORKER_HISTORY_AGE: refused }, "worker"), refused).toHaveLength(1);
  }
});

test("headers for traces are read, and refused without being shown", () => {
  const list = "authorization=Basic%20dXNlcjpwYXNz==, x-scope=a=b,x-rate=50%,x-raw=%ff";
  const { OTEL_EXPORTER_OTLP_HEADERS: read } = parseEnvironment(
    { DATABASE_URL, OTEL_EXPORTER_OTLP_HEADERS: list },
    "api",
  );
  expect(read).toEqual({ authorization: "Basic dXNlcjpwYXNz==", "x-scope": "a=b", "x-rate": "50%", "x-raw": "%ff" });
  for (const broken of ["k3y-alone", "=k3y", "two words=k3y", "x-key=", "x-key=k3y%0Aline"]) {
    const faults = faultsOf({ DATABASE_URL, OTEL_EXPORTER_OTLP_HEADERS: broken });
    expect(faults, broken).toEqual(["OTEL_EXPORTER_OTLP_HEADERS is not a list like name=value,other=value"]);
  }
});

test("the local stack needs nothing", () => {
  expect(faultsOf({}, "local")).toEqual([]);
});

test("separate processes without a database are told to name one", () => {
  for (const service of ["api", "worker", "migrate"] as const) {
    expect(faultsOf({}, service)).toEqual([expect.stringMatching(/^DATABASE_URL is missing/)]);
  }
});

test("an address for wake-ups alone is no database", () => {
  const address = { DATABASE_DIRECT_URL: DATABASE_URL };
  for (const service of ["api", "worker", "local"] as const) {
    expect(faultsOf(address, service)).toEqual([expect.stringMatching(/^DATABASE_URL is missing/)]);
    expect(faultsOf({ DATABASE_URL, ...address }, service)).toEqual([]);
  }
});

test("every fault is reported at once", () => {
  const faults = faultsOf({
    DATABASE_URL: "not a url",
    LOG_LEVEL: "loud",
    DEBUG: "maybe",
    SERVICE_PORT: "80000",
    OPENAI_API_KEY: "your-api-key-here",
    WORKER_MAX_RETRY: "3",
    RAG_VECTOR_DIMENSION: "768",
  });
  expect(faults.map((fault) => fault.split(" ")[0])).toEqual([
    "DATABASE_URL",
    "DEBUG",
    "LOG_LEVEL",
    "OPENAI_API_KEY",
    "RAG_VECTOR_DIMENSION",
    "SERVICE_PORT",
    "WORKER_MAX_RETRY",
  ]);
});

test.each([
  ["DATABASE_URL", "mysql://localhost/x"],
  ["DATABASE_SCHEMA", 'x"; drop schema public'],
  ["OPENAI_BASE_URL", "localhost:8002"],
  ["CORS_ORIGINS", "https://ok.example.com, nonsense"],
  ["CORS_ORIGINS", "https://ok.example.com/path"],
  ["CORS_ORIGIN", "https://ok.example.com"],
  ["SERVICE_PUBLIC_URL", "http://h/x?y"],
  ["SUPABASE_DB_HOST", "other.example.com"],
  ["SUPABASE_JWT_SECRET", "super-secret-jwt-token-with-at-least-32-characters-long"],
  ["OPENAI_API_KEY", "sk-xxxxxxxxxxxxxxxx"],
  ["SUPABASE_JWT_SECRET", "short"],
  ["WORKER_RETRY_BASE_DELAY", "-1"],
  ["RAG_MAX_CHUNKS", "ten"],
])("%s refuses %s", (name, value) => {
  expect(faultsOf({ DATABASE_URL, [name]: value })).toEqual([expect.stringMatching(new RegExp(`^${name} `))]);
});

test.each([
  "changeme",
  "your_secret_goes_here",
  "<secret>",
  "xxxxxxxxxxxxxxxxxxxx",
  "sk-...",
  "replace-me-with-a-real-one",
])("the placeholder %s is no secret", (value) => {
  const faults = faultsOf({ DATABASE_URL, SUPABASE_JWT_SECRET: value, OPENAI_API_KEY: value });
  expect(faults).toContain("SUPABASE_JWT_SECRET still holds a placeholder");
  expect(faults).toContain("OPENAI_API_KEY still holds a placeholder");
});

test("a site may have a word in its name that would make a key a placeholder", () => {
  expect(faultsOf({ DATABASE_URL, CORS_ORIGINS: "https://your-insurance.example.com" })).toEqual([]);
});

test("an unknown environment hides none of the faults of a remote one", () => {
  expect(faultsOf({ ENVIRONMENT: "prod" }).map((fault) => fault.split(" ")[0])).toContain("SUPABASE_URL");
});

test.each(["staging", "production"])("%s refuses every local stand-in and every missing secret", (ENVIRONMENT) => {
  const named = (service: Service): string[] =>
    faultsOf({ ENVIRONMENT }, service).map((fault) => fault.split(" ")[0] ?? "");
  expect(named("api")).toEqual([
    "CORS_ORIGINS",
    "DATABASE_URL",
    "OPENAI_API_KEY",
    "SUPABASE_JWT_SECRET",
    "SUPABASE_SERVICE_ROLE_KEY",
    "SUPABASE_URL",
  ]);
  expect(named("worker")).toEqual([
    "DATABASE_URL",
    "LLAMAPARSE_API_KEY",
    "OPENAI_API_KEY",
    "SUPABASE_SERVICE_ROLE_KEY",
    "SUPABASE_URL",
  ]);
  expect(named("local")).toEqual(["ENVIRONMENT"]);
});

test("users' tokens need a secret or a project with public keys, and either is enough", () => {
  const remote = { ENVIRONMENT: "production", DATABASE_URL };
  const isNamed = (variables: Record<string, string>, service: Service) =>
    faultsOf({ ...remote, ...variables }, service).some((fault) => fault.startsWith("SUPABASE_JWT_SECRET"));
  expect(isNamed({}, "api")).toBe(true);
  expect(isNamed({ SUPABASE_URL: "https://project.example.test" }, "api")).toBe(false);
  expect(isNamed({ SUPABASE_JWT_SECRET: "a secret of more than 16 letters" }, "api")).toBe(false);
  expect(isNamed({}, "worker")).toBe(false);
});

test("a fault never repeats the value of a secret", () => {
  const secret = "changeme-s3cr3t-value";
  const faults = faultsOf({
    DATABASE_URL: `mysql://u:${secret}@h/d`,
    SUPABASE_JWT_SECRET: secret,
    OPENAI_API_KEY: secret,
  });
  expect(faults.length).toBeGreaterThan(2);
  expect(faults.join("\n")).not.toContain("s3cr3t");
});

test("an empty value counts as unset", () => {
  expect(parseEnvironment({ DATABASE_URL, OPENAI_API_KEY: "", PORT: "" }, "api").OPENAI_API_KEY).toBeUndefined();
});
