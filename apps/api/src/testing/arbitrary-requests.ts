import fc, { type Arbitrary } from "fast-check";
import type { JsonObject } from "../openapi/contract-document.ts";
import { arbitraryOf, type SchemaReader } from "./arbitrary-values.ts";
import { parametersOf, type NamedOperation } from "./contract.ts";

export interface RandomRequest {
  method: string;
  url: string;
  headers: Record<string, string>;
  payload: string | undefined;
}

/** What random requests may draw from. */
export interface RequestSource {
  schemas: SchemaReader;
  /** Ids of rows that exist, whatever they are of. */
  ids: readonly string[];
  /** Those of them with which the operation serves in the place of this path parameter. */
  fittingIds: (parameter: string) => readonly string[];
  /** Tokens with which the operation serves. */
  token: string;
  badTokens: readonly string[];
}

const HEX_ID = "0f8fad5b-d9cb-469f-a165-70867728950e";

/** Parts of a path as they stand in a URL, escapes included. */
const ODD_SEGMENTS = [
  "0",
  "-1",
  "%00",
  "%ED%A0%80",
  "%ff",
  "%",
  "%2F",
  "..%2f",
  "__proto__",
  "constructor",
  "null",
  HEX_ID.toUpperCase(),
  `${HEX_ID}%20`,
  `{${HEX_ID}}`,
  "'%20or%201=1--",
  "a".repeat(160),
  "a".repeat(5_000),
  "%F0%9F%92%A9",
];

const ODD_TEXTS = [
  "",
  " ",
  "\0",
  "\uD800",
  "é\u0301",
  "💩",
  "\u202E",
  "__proto__",
  "NaN",
  "-0",
  "1e400",
  "99999999999999999999",
  "0x10",
  "true",
  "[]",
  "{}",
  "'; drop table documents; --",
  "x".repeat(3_000),
];

/** A third of them is right in every part: whether any succeeds is no matter of luck. */
export function arbitraryRequest(named: NamedOperation, source: RequestSource): Arbitrary<RandomRequest> {
  const parts = fc.oneof(
    { weight: 1, arbitrary: rightParts(named, source) },
    { weight: 2, arbitrary: randomParts(named, source) },
  );
  return parts.map(({ path, query, headers, body }) => ({
    method: named.method,
    url: query === "" ? path : `${path}?${query}`,
    headers: { ...headers, ...(body === undefined ? {} : { "content-type": body.type }) },
    payload: body?.text,
  }));
}

interface RequestParts {
  path: string;
  query: string;
  headers: Record<string, string>;
  body: RandomBody | undefined;
}

function rightParts(named: NamedOperation, source: RequestSource): Arbitrary<RequestParts> {
  return fc.record({
    path: arbitraryPath(named, (name) => fc.constantFrom(...source.fittingIds(name))),
    query: rightQuery(named, source),
    headers: fc.constant({ authorization: `Bearer ${source.token}` }),
    body: fc.constant(exampleBody(named)),
  });
}

function randomParts(named: NamedOperation, source: RequestSource): Arbitrary<RequestParts> {
  const segment = arbitrarySegment(source);
  return fc.record({
    path: arbitraryPath(named, () => segment),
    query: arbitraryQuery(named, source),
    headers: arbitraryHeaders(source),
    body: arbitraryBody(named, source),
  });
}

function arbitrarySegment({ ids }: RequestSource): Arbitrary<string> {
  return fc.oneof(
    { weight: 5, arbitrary: fc.constantFrom(...ids) },
    { weight: 2, arbitrary: fc.uuid() },
    { weight: 2, arbitrary: fc.constantFrom(...ODD_SEGMENTS) },
    { weight: 1, arbitrary: fc.webSegment({ size: "large" }).filter((text) => !/^\.*$/.test(text)) },
  );
}

function arbitraryPath(
  { path, operation }: NamedOperation,
  segmentFor: (parameter: string) => Arbitrary<string>,
): Arbitrary<string> {
  const names = parametersOf(operation).flatMap((parameter) => (parameter.in === "path" ? [parameter.name] : []));
  return fc
    .tuple(...names.map(segmentFor))
    .map((values) => names.reduce((url, name, index) => url.replace(`{${name}}`, () => values[index] ?? ""), path));
}

/** None, or one parameter that its schema describes whole. What a free text may be, a cursor above all, it does not say. */
function rightQuery({ operation }: NamedOperation, { schemas }: RequestSource): Arbitrary<string> {
  const described = parametersOf(operation).filter(
    ({ in: place, schema }) =>
      place === "query" && (schema["type"] !== "string" || "pattern" in schema || "enum" in schema),
  );
  const pairs = described.map(({ name, schema }) =>
    arbitraryOf(schema, schemas).map((value) => `${name}=${encode(String(value))}`),
  );
  return fc.oneof(fc.constant(""), ...pairs);
}

/** Types, names and numbers that fit together stand in no schema, but in the contract's example. */
function exampleBody({ operation }: NamedOperation): RandomBody | undefined {
  const example = operation.requestBody?.content["application/json"]?.example;
  return example === undefined ? undefined : { text: JSON.stringify(example), type: "application/json" };
}

function arbitraryQuery({ operation }: NamedOperation, { schemas, ids }: RequestSource): Arbitrary<string> {
  const declared = parametersOf(operation).filter((parameter) => parameter.in === "query");
  const pairs = declared.map(({ name, schema }) => {
    const right = arbitraryOf(schema, schemas).map((value) => encode(String(value)));
    const odd = fc.oneof(fc.constantFrom(...ODD_TEXTS).map(encode), fc.constantFrom(...ODD_SEGMENTS, ...ids));
    return fc
      .oneof(
        { weight: 4, arbitrary: fc.constant([]) },
        { weight: 6, arbitrary: fc.tuple(right) },
        { weight: 2, arbitrary: fc.tuple(odd) },
        { weight: 1, arbitrary: fc.tuple(right, odd) },
      )
      .map((values) => values.map((value) => `${name}=${value}`));
  });
  const stray = fc.oneof(
    { weight: 12, arbitrary: fc.constant<string[]>([]) },
    {
      weight: 1,
      arbitrary: fc
        .constantFrom("a=1", "__proto__=1", "__proto__[a]=1", "&&=", "%", "limit[]=1", "?")
        .map((text) => [text]),
    },
  );
  return fc.tuple(...pairs, stray).map((parts) => parts.flat().join("&"));
}

/** Half a surrogate pair has no encoding of its own. */
function encode(text: string): string {
  return text.isWellFormed() ? encodeURIComponent(text) : "%ED%A0%80";
}

function arbitraryHeaders({ token, badTokens }: RequestSource): Arbitrary<Record<string, string>> {
  const authorization = fc.oneof(
    { weight: 12, arbitrary: fc.constant(`Bearer ${token}`) },
    { weight: 1, arbitrary: fc.constantFrom(...badTokens.map((bad) => `Bearer ${bad}`), "Basic eDp5", "Bearer", "") },
  );
  const odd = fc.constantFrom("", "a b", "x".repeat(500), "..", "é", "0", "-1", "99999999999999999999", HEX_ID);
  return fc.record(
    {
      authorization,
      "x-correlation-id": odd,
      "idempotency-key": odd,
      "last-event-id": odd,
      accept: fc.constantFrom("*/*", "text/html", "application/xml", "text/event-stream", ""),
      "if-none-match": fc.constantFrom("*", '"x"'),
      range: fc.constantFrom("bytes=0-1", "bytes=9-1", "x"),
    },
    { requiredKeys: ["authorization"] },
  );
}

interface RandomBody {
  text: string;
  type: string;
}

function arbitraryBody(
  { operation, method }: NamedOperation,
  source: RequestSource,
): Arbitrary<RandomBody | undefined> {
  const type = fc.oneof(
    { weight: 14, arbitrary: fc.constant("application/json") },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        "text/plain",
        "application/xml",
        "multipart/form-data",
        "application/json; charset=latin1",
        "",
        "x",
      ),
    },
  );
  const schema = operation.requestBody?.content["application/json"]?.schema;
  if (schema === undefined) {
    if (method === "GET" || method === "HEAD") return fc.constant(undefined);
    return fc.option(fc.record({ text: fc.oneof(fc.constant(""), fc.constant("{}"), arbitraryJsonText()), type }), {
      nil: undefined,
      freq: 2,
    });
  }
  const right = arbitraryOf(schema, source.schemas);
  const text = fc.oneof(
    { weight: 6, arbitrary: right.map((value) => JSON.stringify(value)) },
    { weight: 6, arbitrary: right.chain(arbitraryMistake).map((value) => JSON.stringify(value)) },
    { weight: 2, arbitrary: arbitraryJsonText() },
  );
  return fc.record({ text, type });
}

/** The value with one field made wrong, left out or added. */
function arbitraryMistake(value: unknown): Arbitrary<unknown> {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return arbitraryOddValue();
  const names = Object.keys(value);
  return fc
    .record({
      name: fc.constantFrom(...names, "extra", "constructor", "toString"),
      odd: fc.option(arbitraryOddValue(), { nil: undefined }),
    })
    .map(({ name, odd }): JsonObject => Object.assign(structuredClone(value), { [name]: odd }));
}

function arbitraryOddValue(): Arbitrary<unknown> {
  return fc.oneof(
    fc.constantFrom(...ODD_TEXTS),
    fc.constantFrom(0, -1, 1.5, 1e21, 1e308, -1e308, Number.MAX_SAFE_INTEGER, 2 ** 53, true, null),
    fc.constantFrom([], {}, [[]], [null], { a: { b: { c: [] } } }),
    fc.jsonValue({ maxDepth: 3 }),
    fc.string({ unit: "binary", maxLength: 300 }),
    fc.nat(2_000).map((depth) => nest(depth)),
  );
}

function nest(depth: number): unknown {
  let value: unknown = 1;
  for (let level = 0; level < depth; level += 1) value = level % 2 === 0 ? [value] : { a: value };
  return value;
}

function arbitraryJsonText(): Arbitrary<string> {
  return fc.oneof(
    fc.constantFrom(
      "",
      "{",
      "null",
      "[]",
      '"text"',
      "1e999",
      '{"__proto__":{"a":1}}',
      '{"constructor":{"prototype":{"a":1}}}',
      '{"a":1,"a":2}',
      "\uFEFF{}",
      "[".repeat(20_000),
      `{"query":"${"x".repeat(70_000)}"}`,
      '{"filename":"\\ud800","mime":"text/plain"}',
      '{"query":"\\u0000"}',
    ),
    fc.json({ maxDepth: 4 }),
    fc.string({ unit: "binary", maxLength: 100 }),
  );
}
