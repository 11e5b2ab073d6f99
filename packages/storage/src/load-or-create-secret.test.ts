import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadOrCreateSecret } from "./load-or-create-secret.ts";

const run = promisify(execFile);
const MODULE = new URL("load-or-create-secret.ts", import.meta.url).href;

let directory: string;
beforeEach(async () => {
  directory = join(await mkdtemp(join(tmpdir(), "secret-")), "secrets");
});
afterEach(() => rm(join(directory, ".."), { recursive: true, force: true }));

async function loadInOtherProcess(): Promise<string> {
  const input = JSON.stringify({ directory, name: "upload-links" });
  const script = `import { loadOrCreateSecret } from ${JSON.stringify(MODULE)};
    process.stdout.write(await loadOrCreateSecret(${input}));`;
  const { stdout } = await run(process.execPath, ["--input-type=module", "--eval", script]);
  return stdout;
}

describe("the secrets of the local stack", () => {
  it("are 32 bytes that only their owner can read, and the same at the next start", async () => {
    const secret = await loadOrCreateSecret({ directory, name: "upload-links" });
    expect(Buffer.from(secret, "base64url")).toHaveLength(32);
    expect(await readFile(join(directory, "upload-links"), "utf8")).toBe(secret);
    const { mode } = await stat(join(directory, "upload-links"));
    expect(mode & 0o777).toBe(0o600);
    expect(await loadOrCreateSecret({ directory, name: "upload-links" })).toBe(secret);
  });

  it("differ from each other", async () => {
    const first = await loadOrCreateSecret({ directory, name: "upload-links" });
    expect(await loadOrCreateSecret({ directory, name: "user-tokens" })).not.toBe(first);
  });

  it("are one and the same for processes that start together", async () => {
    const secrets = await Promise.all(Array.from({ length: 4 }, loadInOtherProcess));
    expect(new Set(secrets).size).toBe(1);
    expect(secrets[0]).toMatch(/^[\w-]{43}$/u);
    expect(await readdir(directory)).toEqual(["upload-links"]);
  });

  it("are one and the same for fifty calls at once, and leave no other file", async () => {
    const calls = Array.from({ length: 50 }, () => loadOrCreateSecret({ directory, name: "upload-links" }));
    expect(new Set(await Promise.all(calls)).size).toBe(1);
    expect(await readdir(directory)).toEqual(["upload-links"]);
  });

  it("are not made anew over a damaged file", async () => {
    await loadOrCreateSecret({ directory, name: "other" });
    await writeFile(join(directory, "upload-links"), "short");
    await expect(loadOrCreateSecret({ directory, name: "upload-links" })).rejects.toMatchObject({
      code: "secret_file_damaged",
    });
    expect(await readFile(join(directory, "upload-links"), "utf8")).toBe("short");
  });

  it.each(["../outside", "a/b", "", ".hidden"])("are not kept under the name %j", async (name) => {
    await expect(loadOrCreateSecret({ directory, name })).rejects.toMatchObject({ code: "invalid_secret_name" });
  });
});
