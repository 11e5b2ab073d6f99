import fc, { type Arbitrary } from "fast-check";
import { z } from "zod";
import type { JsonObject } from "../openapi/contract-document.ts";

/** Finds what a `$ref` leads to. */
export type SchemaReader = (reference: string) => JsonObject;

const jsonObject = z.record(z.string(), z.unknown());

const schemaShape = z.looseObject({
  $ref: z.string().optional(),
  type: z.union([z.string(), z.array(z.string())]).optional(),
  enum: z.array(z.unknown()).optional(),
  const: z.unknown().optional(),
  anyOf: z.array(jsonObject).optional(),
  oneOf: z.array(jsonObject).optional(),
  allOf: z.array(jsonObject).optional(),
  format: z.string().optional(),
  pattern: z.string().optional(),
  minLength: z.int().optional(),
  maxLength: z.int().optional(),
  minimum: z.number().optional(),
  maximum: z.number().optional(),
  items: jsonObject.optional(),
  minItems: z.int().optional(),
  maxItems: z.int().optional(),
  properties: z.record(z.string(), jsonObject).optional(),
  required: z.array(z.string()).optional(),
  additionalProperties: z.union([z.boolean(), jsonObject]).optional(),
});
type Schema = z.output<typeof schemaShape>;

/** Values that a JSON schema of the contract accepts. Throws for keywords that it cannot fulfil. */
export function arbitraryOf(given: JsonObject, read: SchemaReader): Arbitrary<unknown> {
  const schema = schemaShape.parse(given);
  if (schema.$ref !== undefined) return arbitraryOf(read(schema.$ref), read);
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  if (schema.const !== undefined) return fc.constant(schema.const);
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices !== undefined) return fc.oneof(...choices.map((choice) => arbitraryOf(choice, read)));
  if (schema.allOf !== undefined) throw new Error("There is no random value of allOf yet.");
  const types = [schema.type ?? "any"].flat();
  return fc.oneof(...types.map((type) => arbitraryOfType(type, { schema, read })));
}

function arbitraryOfType(type: string, { schema, read }: { schema: Schema; read: SchemaReader }): Arbitrary<unknown> {
  switch (type) {
    case "string":
      return arbitraryText(schema);
    case "integer":
      return fc.integer(boundsOf(schema));
    case "number":
      return fc.double({ ...boundsOf(schema), noNaN: true });
    case "boolean":
      return fc.boolean();
    case "null":
      return fc.constant(null);
    case "array":
      return arbitraryArray(schema, read);
    case "object":
      return arbitraryObject(schema, read);
    default:
      return fc.jsonValue({ maxDepth: 2 });
  }
}

function boundsOf({ minimum = -1_000_000, maximum = 1_000_000 }: Schema): { min: number; max: number } {
  return { min: minimum, max: Math.max(maximum, minimum) };
}

function arbitraryArray({ items = {}, minItems = 0, maxItems = 5 }: Schema, read: SchemaReader): Arbitrary<unknown> {
  return fc.array(arbitraryOf(items, read), { minLength: minItems, maxLength: Math.min(maxItems, minItems + 5) });
}

/** Long enough for most faults, short enough for hundreds. */
const USUAL_CHARS = 60;

function arbitraryText({ format, pattern, minLength = 0, maxLength = USUAL_CHARS }: Schema): Arbitrary<string> {
  if (format === "uuid") return fc.uuid();
  if (format === "date-time") return fc.date({ noInvalidDate: true }).map((date) => date.toISOString());
  if (pattern !== undefined) return fc.stringMatching(new RegExp(pattern, "u"));
  const size = { minLength, maxLength: Math.max(minLength, Math.min(maxLength, USUAL_CHARS)) };
  return fc.oneof(
    { weight: 3, arbitrary: fc.string({ ...size, unit: "grapheme-ascii" }) },
    { weight: 1, arbitrary: fc.string({ ...size, unit: "grapheme" }) },
    {
      weight: 2,
      arbitrary: fc
        .constantFrom("text/plain", "letter.txt", "application/pdf", "deductible", "booklet")
        .filter((text) => text.length <= maxLength),
    },
  );
}

function arbitraryObject(schema: Schema, read: SchemaReader): Arbitrary<JsonObject> {
  const properties = Object.fromEntries(
    Object.entries(schema.properties ?? {}).map(([name, child]) => [name, arbitraryOf(child, read)] as const),
  );
  const required = new Set(schema.required);
  const named = fc.record(properties, { requiredKeys: Object.keys(properties).filter((name) => required.has(name)) });
  if (schema.additionalProperties === undefined || schema.additionalProperties === false) return named.map(plain);
  const rest = schema.additionalProperties === true ? {} : schema.additionalProperties;
  const more = fc.dictionary(fc.string({ minLength: 1, maxLength: 10 }), arbitraryOf(rest, read), { maxKeys: 3 });
  return fc.tuple(more, named).map(([extra, own]) => plain({ ...extra, ...own }));
}

function plain(value: object): JsonObject {
  return { ...value };
}
