import { parseEnvironment } from "@pipeline/runtime";
import { expect, test } from "vitest";
import { createLlamaParse } from "./llamaparse.ts";

const KEY = { LLAMAPARSE_API_KEY: "llx-1234567890" };

function setupOf(variables: Record<string, string>) {
  return createLlamaParse(parseEnvironment({ ...KEY, ...variables }, "local"));
}

test("without a key documents are read on this machine", () => {
  expect(createLlamaParse(parseEnvironment({}, "local"))).toBeUndefined();
});

test("a key chooses LlamaParse, with the configured tier, version and fallback", () => {
  expect(setupOf({})).toMatchObject({ tier: "cost_effective", version: "latest", fallback: undefined });
  const chosen = { LLAMAPARSE_TIER: "agentic", LLAMAPARSE_VERSION: "2026-08-19", LLAMAPARSE_FALLBACK: "local" };
  expect(setupOf(chosen)).toMatchObject({ tier: "agentic", version: "2026-08-19", fallback: "local" });
});

test("a public https address is where the provider calls back", () => {
  const setup = setupOf({ SERVICE_PUBLIC_URL: "https://api.example.com/base/" });
  expect(setup?.webhookUrl?.("some-job")).toBe(
    "https://api.example.com/base/api/upload-pipeline/webhooks/llamaparse/some-job",
  );
});

test.each([
  "",
  "http://api.example.com",
  "https://203.0.113.7",
  "https://[2001:db8::7]:8443",
  "https://localhost:8000",
  "https://api.localhost",
  "https://printer.local",
  "https://api",
  `https://api.example.com/${"long".repeat(40)}`,
])("the provider is not asked to call %s", (SERVICE_PUBLIC_URL) => {
  expect(setupOf({ SERVICE_PUBLIC_URL })?.webhookUrl).toBeUndefined();
});
