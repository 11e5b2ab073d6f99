import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import type { ContractDocument, ContractOperation, ContractParameter } from "../openapi/contract-document.ts";

/** One operation of the contract with its place. */
export interface NamedOperation {
  name: string;
  method: string;
  path: string;
  operation: ContractOperation;
}

export function listOperations(document: ContractDocument): NamedOperation[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      name: `${method.toUpperCase()} ${path}`,
      method: method.toUpperCase(),
      path,
      operation,
    })),
  );
}

/** The parameters that stand in the path and the query. */
export function parametersOf(operation: ContractOperation): ContractParameter[] {
  return operation.parameters.flatMap((parameter) => ("in" in parameter ? [parameter] : []));
}

/** Compiles schemas of the document, with its components at hand. */
export type SchemaCompiler = (schema: Record<string, unknown>) => ValidateFunction;

export function schemaCompiler(document: ContractDocument): SchemaCompiler {
  const ajv = new Ajv2020({ strict: true, allErrors: true, allowUnionTypes: true });
  addFormats.default(ajv);
  ajv.addKeyword("components");
  ajv.addSchema({ $id: "https://contract.test/", components: document.components }, "contract");
  return (schema) => ajv.compile(withAbsoluteReferences(schema));
}

function withAbsoluteReferences(schema: Record<string, unknown>): Record<string, unknown> {
  const text = JSON.stringify(schema, (key, value: unknown) =>
    key === "$ref" && typeof value === "string" && value.startsWith("#/") ? `https://contract.test/${value}` : value,
  );
  const parsed: Record<string, unknown> = JSON.parse(text);
  return parsed;
}

/** The component that a `$ref` names. */
export function resolveSchema({ components }: ContractDocument, reference: string): Record<string, unknown> {
  const schema = components.schemas[reference.replace("#/components/schemas/", "")];
  if (schema === undefined) throw new Error(`The contract has no ${reference}.`);
  return schema;
}
