import { randomUUID } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Environment } from "@pipeline/runtime";
import { dataDirectory } from "./adapters.ts";

/** The user id of development tokens, the same at every start, so that yesterday's documents are there today. */
export async function developmentUser(environment: Environment): Promise<string> {
  const path = join(dataDirectory(environment), "development-user");
  const known = await readFile(path, "utf8").catch(() => "");
  if (known !== "") return known.trim();
  await mkdir(dataDirectory(environment), { recursive: true, mode: 0o700 });
  const userId = randomUUID();
  await writeFile(path, userId, { mode: 0o600 });
  return userId;
}
