import { expect } from "vitest";
import type { Chunk, ChunkInput } from "./chunk-document.ts";
import { chunkDocument } from "./chunk-document.ts";
import { DEFAULT_CHUNK_OPTIONS } from "./chunk-options.ts";
import { countTokens } from "./count-tokens.ts";
import { documentContent } from "./document-content.ts";

/** Chunks `input` and asserts everything that is promised for any document. */
export function chunkAndVerify(input: ChunkInput): Chunk[] {
  const content = documentContent(input.pages);
  const chunks = chunkDocument(input);
  const maxTokens = input.options?.maxTokens ?? DEFAULT_CHUNK_OPTIONS.maxTokens;
  for (const [index, chunk] of chunks.entries()) {
    const before = chunks[index - 1];
    expect(chunk.ordinal).toBe(index);
    expect(chunk.char_start).toBeGreaterThan(before?.char_start ?? -1);
    expect(chunk.char_end).toBeGreaterThan(before?.char_end ?? 0);
    expect(chunk.token_count).toBe(countTokens(chunk.text));
    expect(chunk.token_count).toBeLessThanOrEqual(maxTokens);
    verifyText(content, chunk);
    verifyPages(input, chunk);
  }
  expect(uncovered(content, chunks)).toBe("");
  return chunks;
}

function verifyText(content: string, chunk: Chunk): void {
  const slice = content.slice(chunk.char_start, chunk.char_end);
  expect(slice).toBe(slice.trim());
  expect(slice).not.toBe("");
  expect(splitsPair(content, chunk.char_start)).toBe(false);
  expect(splitsPair(content, chunk.char_end)).toBe(false);
  if (chunk.text === slice) return;
  // A repeated table header: two lines of the document above the slice.
  const header = chunk.text.slice(0, chunk.text.length - slice.length);
  expect(chunk.text).toBe(header + slice);
  expect(header.endsWith("\n")).toBe(true);
  expect(header.trim().split("\n")).toHaveLength(2);
  expect(content.slice(0, chunk.char_start)).toContain(header.trim());
}

function verifyPages(input: ChunkInput, chunk: Chunk): void {
  const starts = [0];
  for (const page of input.pages) starts.push((starts.at(-1) ?? 0) + page.text.length + 2);
  const holds = (offset: number): number | undefined =>
    input.pages.find((_, index) => offset < (starts[index + 1] ?? 0))?.page_number;
  expect(chunk.page_start).toBe(holds(chunk.char_start));
  expect(chunk.page_end).toBe(holds(chunk.char_end - 1));
}

function uncovered(content: string, chunks: Chunk[]): string {
  let missing = "";
  let covered = 0;
  for (const chunk of chunks) {
    if (chunk.char_start > covered) missing += content.slice(covered, chunk.char_start);
    covered = chunk.char_end;
  }
  return (missing + content.slice(covered)).trim();
}

function splitsPair(content: string, at: number): boolean {
  return !content.slice(at - 1, at).isWellFormed() && content.slice(at - 1, at + 1).isWellFormed();
}
