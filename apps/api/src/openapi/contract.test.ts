import { readFile } from "node:fs/promises";
import { join } from "node:path";
import SwaggerParser from "@apidevtools/swagger-parser";
import { beforeAll, describe, expect, it } from "vitest";
import { PROBLEM_CODES } from "../problems/codes.ts";
import { PROBLEM_TYPE } from "../problems/problem.ts";
import { listOperations, schemaCompiler, type NamedOperation } from "../testing/contract.ts";
import { buildContract } from "./build-contract.ts";
import type { ContractDocument } from "./contract-document.ts";
import { CONTRACT_FILE, printContract } from "./contract-file.ts";
import { OPERATIONS } from "./operations/index.ts";

let contract: ContractDocument;
let operations: NamedOperation[];
beforeAll(async () => {
  contract = await buildContract();
  operations = listOperations(contract);
});

describe("the contract", () => {
  it("is committed as the routes have it; `pnpm openapi` writes it", async () => {
    expect(printContract(contract)).toBe(await readFile(CONTRACT_FILE, "utf8"));
  });

  it("is valid OpenAPI 3.1 to a parser that is not ours", async () => {
    const copy = JSON.parse(printContract(contract));
    await expect(SwaggerParser.validate(copy)).resolves.toMatchObject({ openapi: "3.1.0" });
  });

  it("describes every route, and none that there is not", () => {
    expect(operations.map(({ name }) => name).toSorted()).toEqual(Object.keys(OPERATIONS).toSorted());
  });

  it("has a name of its own for each operation", () => {
    const names = operations.map(({ operation }) => operation.operationId);
    expect(new Set(names).size).toBe(names.length);
  });

  it("says for every answer what it means", () => {
    const silent = operations.flatMap(({ name, operation }) =>
      Object.entries(operation.responses).flatMap(([status, { description }]) =>
        description === "" || description === "Default Response" ? [`${name} ${status}`] : [],
      ),
    );
    expect(silent).toEqual([]);
  });
});

describe("codes", () => {
  it("are those of docs/codes.md, with the same status and meaning", async () => {
    const page = await readFile(join(import.meta.dirname, "../../../../docs/codes.md"), "utf8");
    const [table = ""] = page.split("## Failures of a job");
    const rows = [...table.matchAll(/^\| (\d+) \| (.+?) \| (.+) \|$/gm)].flatMap(([, status, codes = "", meaning]) =>
      [...codes.matchAll(/`(\w+)`/g)].map(([, code]) => [code, { status: Number(status), meaning }] as const),
    );
    expect(PROBLEM_CODES).toEqual(Object.fromEntries(rows));
  });

  it("of an operation stand at a status that its route declares", () => {
    const stray = operations.flatMap(({ name, operation }) =>
      (OPERATIONS[name]?.codes ?? []).flatMap((code) => {
        const { status } = PROBLEM_CODES[code];
        return operation.responses[status]?.content?.[PROBLEM_TYPE] === undefined ? [`${name} ${status} ${code}`] : [];
      }),
    );
    expect(stray).toEqual([]);
  });

  it("are named for every problem that a route declares", () => {
    const nameless = operations.flatMap(({ name, operation }) =>
      Object.entries(operation.responses).flatMap(([status, response]) =>
        Array.isArray(response["x-problem-codes"]) && response["x-problem-codes"].length === 0
          ? [`${name} ${status}`]
          : [],
      ),
    );
    expect(nameless).toEqual([]);
  });
});

describe("examples", () => {
  it("match their schemas, and every body of an answer or a request has one", () => {
    const compile = schemaCompiler(contract);
    const faults = operations.flatMap(({ name, operation }) => {
      const bodies = [["request", operation.requestBody] as const, ...Object.entries(operation.responses)];
      return bodies.flatMap(([place, body]) =>
        Object.values(body?.content ?? {}).flatMap(({ schema = {}, example }) => {
          // Files, metrics and the contract itself are no examples to copy.
          if (example === undefined) return WITHOUT_EXAMPLE.has(name) ? [] : [`${name} ${place}: none`];
          const validate = compile(schema);
          return validate(example) ? [] : [`${name} ${place}: ${JSON.stringify(validate.errors)}`];
        }),
      );
    });
    expect(faults).toEqual([]);
  });
});

const WITHOUT_EXAMPLE: ReadonlySet<string> = new Set([
  "GET /docs/openapi.json",
  "GET /metrics",
  "GET /storage/v1/object/sign/{bucket}/{path}",
]);
