import { z } from "zod";

export type JsonObject = Record<string, unknown>;
const jsonObject = z.record(z.string(), z.unknown());

const parameterShape = z.looseObject({
  name: z.string(),
  in: z.enum(["path", "query", "header"]),
  required: z.boolean().optional(),
  schema: jsonObject,
});

const mediaShape = z.looseObject({ schema: jsonObject.optional(), example: z.unknown().optional() });

const responseShape = z.looseObject({
  description: z.string(),
  headers: jsonObject.optional(),
  content: z.record(z.string(), mediaShape).optional(),
});

const operationShape = z.looseObject({
  operationId: z.string().optional(),
  tags: z.array(z.string()).optional(),
  summary: z.string().optional(),
  parameters: z.array(z.union([parameterShape, z.object({ $ref: z.string() })])).default([]),
  requestBody: z.looseObject({ content: z.record(z.string(), mediaShape) }).optional(),
  responses: z.record(z.string(), responseShape).default({}),
  security: z.array(z.record(z.string(), z.array(z.string()))).optional(),
});

/** An OpenAPI document, as far as it is read here. */
export const contractDocument = z.looseObject({
  openapi: z.string(),
  info: z.looseObject({ title: z.string(), version: z.string() }),
  paths: z.record(z.string(), z.record(z.string(), operationShape)),
  components: z.looseObject({ schemas: z.record(z.string(), jsonObject).default({}) }).default({ schemas: {} }),
});

export type ContractDocument = z.output<typeof contractDocument>;
export type ContractOperation = z.output<typeof operationShape>;
export type ContractResponse = z.output<typeof responseShape>;
export type ContractParameter = z.output<typeof parameterShape>;
