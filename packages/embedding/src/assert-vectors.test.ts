import { expect, test } from "vitest";
import { assertVectors } from "./assert-vectors.ts";
import { EMBEDDING_DIMENSIONS } from "./embedder.ts";

const VECTOR = Array.from({ length: EMBEDDING_DIMENSIONS }, () => 0.1);

test("vectors as promised pass", () => {
  expect(() => assertVectors([VECTOR, VECTOR], 2)).not.toThrow();
  expect(() => assertVectors([], 0)).not.toThrow();
});

test.for([
  { fault: "a missing vector", vectors: [VECTOR] },
  { fault: "a vector too many", vectors: [VECTOR, VECTOR, VECTOR] },
  { fault: "a short vector", vectors: [VECTOR, VECTOR.slice(1)] },
  { fault: "infinity", vectors: [VECTOR, VECTOR.with(3, Infinity)] },
  { fault: "a number too large for 32 bits", vectors: [VECTOR, VECTOR.with(3, 1e39)] },
  { fault: "zeros", vectors: [VECTOR, VECTOR.map(() => 0)] },
  { fault: "numbers that vanish in 32 bits", vectors: [VECTOR, VECTOR.map(() => 1e-60)] },
])("$fault is embedding_invalid and worth another try", ({ vectors }) => {
  expect(() => assertVectors(vectors, 2)).toThrow(
    expect.objectContaining({ kind: "transient", code: "embedding_invalid" }),
  );
});
