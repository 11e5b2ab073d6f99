import { COMPONENTS, SECURITY, securitySchemesOf } from "./components.ts";
import {
  contractDocument,
  type ContractDocument,
  type ContractOperation,
  type ContractResponse,
} from "./contract-document.ts";
import { describeProblem } from "./describe-problem.ts";
import { dropUnusedSchemas, tidySchemas } from "./tidy-schemas.ts";
import type { ProblemCode } from "../problems/codes.ts";
import { PROBLEM_TYPE } from "../problems/problem.ts";
import { TAGS, type Answer, type Operation, type Operations } from "./operation.ts";

/**
 * The document that was made of the routes' schemas, with what the schemas cannot say: names, examples, codes, headers
 * and who may call. A route that `operations` does not describe keeps its schemas, and a test names it.
 */
export function finishDocument(raw: unknown, operations: Operations): ContractDocument {
  const document = contractDocument.parse(tidySchemas(raw));
  const paths: ContractDocument["paths"] = {};
  for (const [rawPath, methods] of Object.entries(document.paths)) {
    const path = rawPath.replace("{*}", "{path}");
    paths[path] = Object.fromEntries(
      Object.entries(methods).map(([method, operation]) => [
        method,
        finishOperation(operation, { path, described: operations[`${method.toUpperCase()} ${path}`] }),
      ]),
    );
  }
  return dropUnusedSchemas({
    ...document,
    paths,
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    components: { ...document.components, ...COMPONENTS, securitySchemes: securitySchemesOf() },
  });
}

interface Place {
  path: string;
  described: Operation | undefined;
}

function finishOperation(operation: ContractOperation, { path, described }: Place): ContractOperation {
  const headers = ["CorrelationId", ...(described?.headers ?? [])];
  return {
    ...(described === undefined ? {} : introduce(described)),
    ...operation,
    parameters: [
      ...operation.parameters.map(finishParameter),
      ...headers.map((name) => ({ $ref: `#/components/parameters/${name}` })),
    ],
    ...(operation.requestBody === undefined
      ? {}
      : { requestBody: withExample(operation.requestBody, described?.body) }),
    responses: finishResponses(operation, { path, described }),
  };
}

function introduce({ id, tag, access, summary, description }: Operation) {
  const named = { operationId: id, tags: [tag], summary, security: SECURITY[access] };
  return description === undefined ? named : { ...named, description };
}

/** What a path parameter falls back to is ours to know. */
function finishParameter(parameter: ContractOperation["parameters"][number]): typeof parameter {
  if (!("in" in parameter) || parameter.in !== "path") return parameter;
  const { default: _, ...schema } = parameter.schema;
  return { ...parameter, name: parameter.name === "*" ? "path" : parameter.name, required: true, schema };
}

function finishResponses(operation: ContractOperation, { described }: Place): Record<string, ContractResponse> {
  const answers: Readonly<Record<string, Answer>> = described?.answers ?? {};
  const declared = operation.responses;
  const responses = withPathProblems(operation);
  const statuses = new Set([...Object.keys(responses), ...Object.keys(answers)]);
  return Object.fromEntries(
    [...statuses].toSorted().map((status) => {
      const response = responses[status] ?? { description: "" };
      const answer = answers[status] ?? { description: "" };
      const headers = headersOf(status, answer.headers ?? []);
      if (response.content?.[PROBLEM_TYPE] === undefined) {
        return [status, { ...withExample(response, answer.example), description: answer.description, headers }];
      }
      const { codes, meanings, example } = describeProblem(Number(status), {
        own: codesOf(described),
        readsJson: declared["400"] !== undefined && declared["415"] !== undefined,
      });
      const description = [answer.description, meanings].filter((part) => part !== "").join("\n\n");
      return [status, { ...withExample(response, example), description, headers, "x-problem-codes": codes }];
    }),
  );
}

/** The router's own: a path that cannot be decoded, and one whose parameter is too long to be anything. */
const PATH_PROBLEMS = ["400", "404"];

function withPathProblems({ parameters, responses }: ContractOperation): Record<string, ContractResponse> {
  if (!parameters.some((parameter) => "in" in parameter && parameter.in === "path")) return responses;
  const content = { [PROBLEM_TYPE]: { schema: { $ref: "#/components/schemas/Problem" } } };
  const added = PATH_PROBLEMS.map((status) => [status, responses[status] ?? { description: "", content }] as const);
  return { ...responses, ...Object.fromEntries(added) };
}

/** Its own, and what its kind of access and its headers bring about. */
function codesOf(described: Operation | undefined): readonly ProblemCode[] {
  if (described === undefined) return [];
  const { access, codes = [], headers = [] } = described;
  const byAccess: readonly ProblemCode[] = access === "service" ? ["service_role_required"] : [];
  return [...codes, ...byAccess, ...(headers.includes("IdempotencyKey") ? IDEMPOTENCY_CODES : [])];
}

const IDEMPOTENCY_CODES: readonly ProblemCode[] = [
  "idempotency_key_in_use",
  "idempotency_key_reused",
  "idempotency_key_invalid",
];

function headersOf(status: string, named: readonly string[]): Record<string, { $ref: string }> {
  const always = ["X-Correlation-Id"];
  const byStatus: Record<string, string[]> = {
    401: ["WWW-Authenticate"],
    429: ["Retry-After"],
    503: ["Retry-After"],
  };
  const names = [...always, ...(byStatus[status] ?? []), ...named];
  return Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]));
}

function withExample<Body extends { content?: ContractResponse["content"] }>(body: Body, example: unknown): Body {
  if (example === undefined || body.content === undefined) return body;
  const content = Object.entries(body.content).map(([type, media]) => [type, { ...media, example }] as const);
  return { ...body, content: Object.fromEntries(content) };
}
