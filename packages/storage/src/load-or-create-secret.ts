import { randomBytes, randomUUID } from "node:crypto";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "@pipeline/runtime";
import { systemErrorCode } from "./disk-fault.ts";
import { DIRECTORY_MODE } from "./disk-layout.ts";
import { publishFile, writeNewFile } from "./publish-file.ts";

/** 256 bits, what an HS256 key needs (RFC 7518 section 3.2); 43 characters of base64url. */
const SECRET_BYTES = 32;
const SECRET = /^[\w-]{43}$/u;

const SECRET_NAME = /^[a-z0-9][a-z0-9-]{0,63}$/u;

/**
 * A secret of the local stack, base64url, made at the first start and kept in `<directory>/<name>` for its owner alone.
 * However many processes start at once, all get the same one. A deployed system is given its secrets instead.
 * Errors: internal `invalid_secret_name`, `secret_file_damaged`; system errors as they are.
 */
export async function loadOrCreateSecret(input: { directory: string; name: string }): Promise<string> {
  const { directory, name } = input;
  if (!SECRET_NAME.test(name)) {
    throw internalFault("invalid_secret_name", "A secret's name is made of lower-case letters, digits and dashes.");
  }
  const path = join(directory, name);
  if ((await readSecret(path)) === undefined) await createSecret(directory, path);
  // Read again even after creating: the name belongs to whichever process linked its file first.
  const secret = await readSecret(path);
  if (secret !== undefined && SECRET.test(secret)) return secret;
  throw internalFault("secret_file_damaged", `The file of the secret "${name}" does not hold ${SECRET_BYTES} bytes.`);
}

async function readSecret(path: string): Promise<string | undefined> {
  try {
    const content = await readFile(path, "utf8");
    return content.trim();
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function createSecret(directory: string, path: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: DIRECTORY_MODE });
  const partial = `${path}.${randomUUID()}.part`;
  try {
    await writeNewFile(partial, randomBytes(SECRET_BYTES).toString("base64url"));
    await publishFile(partial, { target: path, root: directory });
  } finally {
    await rm(partial, { force: true });
  }
}

function internalFault(code: string, message: string): AppError {
  return new AppError({ kind: "internal", code, message });
}
