import yauzl from "yauzl";
import type { Entry, ZipFile } from "yauzl";
import { damagedFile, inflationLimit } from "./parse-errors.ts";
import { INFLATION_RATIO_FLOOR_BYTES } from "./parse-limits.ts";
import type { ParseLimits } from "./parse-limits.ts";

/** `compressed` and `declared` are bytes; `declared` is what the directory says and may be a lie. */
export interface ArchiveEntry {
  name: string;
  compressed: number;
  declared: number;
  isEncrypted: boolean;
}

type ArchiveLimits = Pick<ParseLimits, "maxArchiveEntries" | "maxInflatedBytes" | "maxInflationRatio">;

/** Lists a zip's central directory; nothing is inflated. Throws damaged_file or inflation_limit. */
export async function listArchive(
  path: string,
  limits: Pick<ParseLimits, "maxArchiveEntries">,
): Promise<ArchiveEntry[]> {
  const entries: ArchiveEntry[] = [];
  await eachEntry({ path, limits }, (_zip, entry) => {
    entries.push({
      name: entry.fileName,
      compressed: entry.compressedSize,
      declared: entry.uncompressedSize,
      isEncrypted: entry.isEncrypted(),
    });
  });
  return entries;
}

/**
 * Inflates the entries that `wanted` names. The declared sizes are checked first, then every byte that
 * really comes out is counted, for a bomb's headers lie. Throws damaged_file or inflation_limit.
 */
export async function inflateArchive(input: {
  path: string;
  limits: ArchiveLimits;
  wanted: (name: string) => boolean;
}): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  const spent = { inflated: 0, compressed: 0 };
  await eachEntry(input, async (zip, entry) => {
    if (!input.wanted(entry.fileName)) return;
    spent.compressed += entry.compressedSize;
    checkInflation({
      inflated: spent.inflated + entry.uncompressedSize,
      compressed: spent.compressed,
      limits: input.limits,
    });
    files.set(entry.fileName, await inflateEntry({ zip, entry, spent, limits: input.limits }));
  });
  return files;
}

/** Throws inflation_limit where `inflated` bytes are too many, by count or by ratio. */
export function checkInflation(input: {
  inflated: number;
  compressed: number;
  limits: Pick<ParseLimits, "maxInflatedBytes" | "maxInflationRatio">;
}): void {
  const { inflated, compressed, limits } = input;
  if (inflated > limits.maxInflatedBytes) {
    throw inflationLimit(`The document inflates to more than ${limits.maxInflatedBytes} bytes.`);
  }
  if (inflated > INFLATION_RATIO_FLOOR_BYTES && inflated > compressed * limits.maxInflationRatio) {
    throw inflationLimit(`The document inflates to more than ${limits.maxInflationRatio} times its size.`);
  }
}

async function eachEntry(
  input: { path: string; limits: Pick<ParseLimits, "maxArchiveEntries"> },
  visit: (zip: ZipFile, entry: Entry) => Promise<void> | void,
): Promise<void> {
  const zip = await openArchive(input.path);
  try {
    if (zip.entryCount > input.limits.maxArchiveEntries) {
      throw inflationLimit(`The document holds more than ${input.limits.maxArchiveEntries} files.`);
    }
    const names = new Set<string>();
    for await (const entry of zip.eachEntry()) {
      // Two readers may take different ones of two entries with one name, so neither is taken.
      if (names.has(entry.fileName)) throw damagedFile("The file's directory names one part twice.");
      names.add(entry.fileName);
      await visit(zip, entry);
    }
  } catch (error) {
    throw asDamaged(error);
  } finally {
    zip.close();
  }
}

async function openArchive(path: string): Promise<ZipFile> {
  try {
    return await yauzl.openPromise(path, { lazyEntries: true, autoClose: false, validateEntrySizes: true });
  } catch (error) {
    throw asDamaged(error);
  }
}

async function inflateEntry(input: {
  zip: ZipFile;
  entry: Entry;
  spent: { inflated: number; compressed: number };
  limits: ArchiveLimits;
}): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const stream = await input.zip.openReadStreamPromise(input.entry);
  for await (const chunk of stream) {
    if (!Buffer.isBuffer(chunk)) throw new TypeError("An archive's stream gave something else than bytes.");
    input.spent.inflated += chunk.length;
    checkInflation({ ...input.spent, limits: input.limits });
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** What yauzl and zlib throw is about the file, except the file system's own errors. */
function asDamaged(error: unknown): unknown {
  if (!(error instanceof Error) || error.name === "AppError") return error;
  if ("syscall" in error) return error;
  return damagedFile("The file is truncated or damaged: its archive cannot be read.", error);
}
