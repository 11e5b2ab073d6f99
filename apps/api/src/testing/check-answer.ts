import type { ValidateFunction } from "ajv/dist/2020.js";
import { z } from "zod";
import type { ContractResponse } from "../openapi/contract-document.ts";
import { PROBLEM_TYPE } from "../problems/problem.ts";
import type { NamedOperation, SchemaCompiler } from "./contract.ts";

export interface ReceivedAnswer {
  status: number;
  headers: Record<string, unknown>;
  text: string;
}

/** What about an answer is not as the contract has it; empty: nothing. */
export type CheckAnswer = (named: NamedOperation, answer: ReceivedAnswer) => string[];

/** Faults of ours that no client may provoke; a 503 is one unless it is what the operation is asked for. */
function isFault(status: number, { path }: NamedOperation): boolean {
  return status >= 500 && !(status === 503 && path === "/health/ready");
}

export function createAnswerCheck(compile: SchemaCompiler): CheckAnswer {
  const compiled = new Map<string, ValidateFunction>();
  const validatorOf = (schema: Record<string, unknown>): ValidateFunction => {
    const key = JSON.stringify(schema);
    const validate = compiled.get(key) ?? compile(schema);
    compiled.set(key, validate);
    return validate;
  };
  return (named, answer) => {
    if (isFault(answer.status, named)) return [`answered ${answer.status}: ${answer.text.slice(0, 500)}`];
    const declared = named.operation.responses[String(answer.status)];
    if (declared === undefined) return [`${answer.status} is not declared: ${answer.text.slice(0, 300)}`];
    return [...checkHeaders(declared, answer), ...checkBody(named, { declared, answer, validatorOf })];
  };
}

function checkHeaders(declared: ContractResponse, { status, headers }: ReceivedAnswer): string[] {
  const optional = new Set(["WWW-Authenticate"]);
  const missing = Object.keys(declared.headers ?? {}).filter(
    (name) => headers[name.toLowerCase()] === undefined && !optional.has(name),
  );
  return missing.map((name) => `${status} lacks ${name}`);
}

interface Body {
  declared: ContractResponse;
  answer: ReceivedAnswer;
  validatorOf: (schema: Record<string, unknown>) => ValidateFunction;
}

function checkBody(named: NamedOperation, { declared, answer, validatorOf }: Body): string[] {
  const { content } = declared;
  if (named.method === "HEAD") return [];
  const type = z.string().catch("").parse(answer.headers["content-type"]).split(";", 1)[0] ?? "";
  if (content === undefined) return type.includes("json") ? [`${answer.status} has a body that is not declared`] : [];
  const media = content[type];
  if (media === undefined) return [`${answer.status} came as ${JSON.stringify(type)}`];
  if (!type.endsWith("json")) return [];
  const body: unknown = JSON.parse(answer.text);
  const validate = validatorOf(media.schema ?? {});
  if (!validate(body)) return [`${answer.status}: ${JSON.stringify(validate.errors)} in ${answer.text.slice(0, 500)}`];
  return type === PROBLEM_TYPE ? checkProblem(declared, answer) : [];
}

const problemFacts = z.object({ status: z.int(), code: z.string(), correlation_id: z.string() });

function checkProblem(declared: ContractResponse, { status, headers, text }: ReceivedAnswer): string[] {
  const problem = problemFacts.parse(JSON.parse(text));
  const codes = z.array(z.string()).parse(declared["x-problem-codes"]);
  return [
    ...(codes.includes(problem.code) ? [] : [`${status} has the code ${problem.code}, which is not declared`]),
    ...(problem.status === status ? [] : [`${status} says that it is ${problem.status}`]),
    ...(problem.correlation_id === headers["x-correlation-id"] ? [] : [`${status} has another correlation id`]),
  ];
}
