import { readFile } from "node:fs/promises";
import { fastify } from "fastify";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { contractDocument, type ContractOperation } from "../openapi/contract-document.ts";
import { CONTRACT_FILE } from "../openapi/contract-file.ts";
import { listOperations } from "../testing/contract.ts";
import { browsers } from "./browsers.ts";

const text: unknown = JSON.parse(await readFile(CONTRACT_FILE, "utf8"));
const contract = contractDocument.parse(text);
const { components } = z
  .object({
    components: z.object({
      parameters: z.record(z.string(), z.object({ name: z.string() })),
      securitySchemes: z.record(
        z.string(),
        z.union([
          z.object({ type: z.literal("http") }).transform(() => ["authorization"]),
          z
            .object({ type: z.literal("apiKey"), in: z.literal("header"), name: z.string() })
            .transform((at) => [at.name]),
          z.object({ type: z.literal("apiKey"), in: z.literal("query") }).transform(() => []),
        ]),
      ),
    }),
  })
  .parse(text);

const ORIGIN = "https://app.example.test";

/** A provider's servers call these, no page. */
const CALLBACKS = new Set(["receiveParserCallback"]);
const operations = listOperations(contract).filter(({ operation }) => !CALLBACKS.has(operation.operationId ?? ""));

/** Every header that the contract says a request of the operation may bring. */
function declaredHeaders({ parameters, security = [], requestBody }: ContractOperation): string[] {
  const named = parameters.flatMap((parameter) => {
    if ("in" in parameter) return parameter.in === "header" ? [parameter.name] : [];
    return [z.object({ name: z.string() }).parse(components.parameters[parameter.$ref.split("/").at(-1) ?? ""]).name];
  });
  const schemes = security.flatMap((scheme) => Object.keys(scheme)).flatMap((name) => components.securitySchemes[name]);
  const type = requestBody === undefined ? [] : ["content-type"];
  return z.array(z.string()).parse([...named, ...schemes, ...type]);
}

const app = fastify();
beforeAll(async () => {
  await app.register(browsers, { corsOrigins: [ORIGIN] });
});
afterAll(() => app.close());

async function allowedHeaders(operation: { method: string; path: string }, asked: string[]): Promise<string[]> {
  const answer = await app.inject({
    method: "OPTIONS",
    url: operation.path.replaceAll(/[{}]/g, ""),
    headers: {
      origin: ORIGIN,
      "access-control-request-method": operation.method,
      "access-control-request-headers": asked.join(","),
    },
  });
  expect(answer.statusCode).toBe(204);
  return String(answer.headers["access-control-allow-headers"]).toLowerCase().split(", ");
}

describe("a page of a known origin", () => {
  it.each(operations)("may send every header that the contract declares for $name", async (named) => {
    const asked = declaredHeaders(named.operation).map((name) => name.toLowerCase());
    expect(asked).toContain("x-correlation-id");
    expect(await allowedHeaders(named, asked)).toEqual(expect.arrayContaining(asked));
  });

  it("may go on with a stream, and with a trace of its own", async () => {
    const stream = operations.find(({ operation }) => operation.operationId === "streamJob");
    expect(stream === undefined ? [] : declaredHeaders(stream.operation)).toContain("Last-Event-ID");
    const asked = ["authorization", "last-event-id", "traceparent"];
    const path = "/api/upload-pipeline/jobs/id/stream";
    expect(await allowedHeaders({ method: "GET", path }, asked)).toEqual(expect.arrayContaining(asked));
  });
});
