import { expect, test } from "vitest";
import { chunkId, documentId } from "./ids.ts";

const USER = "7c2f6f0e-3a47-4c2b-9d0a-6d3a51f7a001";
const SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

test("a document's id is a UUIDv5 that depends on user and file alone, and never changes", () => {
  expect(documentId(USER, SHA256)).toBe(documentId(USER, SHA256));
  expect(documentId(USER, SHA256)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(documentId(USER, SHA256)).toBe("de87d353-2122-5a61-9c6b-1bac037d9c6a");
  expect(documentId(USER.replace("7", "8"), SHA256)).not.toBe(documentId(USER, SHA256));
});

test("a chunk's id differs by document, chunker, version, generation and ordinal", () => {
  const chunk = { document_id: USER, chunker_name: "structure", chunker_version: "1", generation: 1, ordinal: 0 };
  const others = [
    { ...chunk, document_id: documentId(USER, SHA256) },
    { ...chunk, chunker_name: "fixed" },
    { ...chunk, chunker_version: "2" },
    { ...chunk, generation: 2 },
    { ...chunk, ordinal: 1 },
  ];
  expect(new Set([chunk, ...others].map((one) => chunkId(one))).size).toBe(6);
});
