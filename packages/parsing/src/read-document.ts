import { readFile } from "node:fs/promises";
import { emptyFile } from "./parse-errors.ts";

/** A document's bytes; throws `empty_file`. The caller has checked the size: uploads are limited to 25 MiB. */
export async function readDocument(path: string): Promise<Buffer> {
  const bytes = await readFile(path);
  if (bytes.length === 0) throw emptyFile();
  return bytes;
}
