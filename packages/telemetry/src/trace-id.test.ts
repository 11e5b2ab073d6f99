import { expect, test } from "vitest";
import { parseTraceparent, traceIdOf } from "./trace-id.ts";

const DIGITS = "0af7651916cd43dd8448eb211c80319c";
const SPAN = "b7ad6b7169203331";

test.each(["0af76519-16cd-43dd-8448-eb211c80319c", "0AF76519-16CD-43DD-8448-EB211C80319C", DIGITS])(
  "the digits of the correlation id %s are its trace",
  (correlationId) => expect(traceIdOf(correlationId)).toBe(DIGITS),
);

test("a correlation id that is no UUID, or the one of zeros, has a trace of its own, always the same", () => {
  const given = ["order-1", "order-2", "00000000-0000-0000-0000-000000000000", `${DIGITS}0`, ""];
  const traces = given.map(traceIdOf);
  for (const trace of traces) expect(trace).toMatch(/^(?!0{32})[0-9a-f]{32}$/);
  expect(new Set(traces).size).toBe(given.length);
  expect(given.map(traceIdOf)).toEqual(traces);
});

test.each([
  [`00-${DIGITS}-${SPAN}-01`, true],
  [`00-${DIGITS}-${SPAN}-00`, false],
  [`01-${DIGITS}-${SPAN}-03-more`, true],
])("the caller's span is read out of %s", (header, isSampled) =>
  expect(parseTraceparent(header)).toEqual({ traceId: DIGITS, spanId: SPAN, isSampled }),
);

test.each([
  undefined,
  [`00-${DIGITS}-${SPAN}-01`],
  "",
  `00-${DIGITS}-${SPAN}`,
  `00-${DIGITS}-${SPAN}-01-more`,
  `ff-${DIGITS}-${SPAN}-01`,
  `00-${"0".repeat(32)}-${SPAN}-01`,
  `00-${DIGITS}-${"0".repeat(16)}-01`,
  `00-${DIGITS.toUpperCase()}-${SPAN}-01`,
  `00-${DIGITS}-${SPAN}-01\n`,
])("no span is read out of %j", (header) => expect(parseTraceparent(header)).toBeUndefined());
