import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { tmpdir } from "node:os";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import openapiTypescript, { astToString } from "openapi-typescript";
import { expect, it } from "vitest";
import { CONTRACT_FILE } from "./contract-file.ts";

const ROOT = join(import.meta.dirname, "../../../..");
const run = promisify(execFile);

/** What a frontend would write: names, bodies and answers are checked against the generated types. */
const USAGE = `
import createClient from "openapi-fetch";
import type { components, paths } from "./contract.ts";

const client = createClient<paths>({ baseUrl: "https://api.example.com" });

export async function upload(file: File, sha256: string): Promise<components["schemas"]["Job"]> {
  const body = { filename: file.name, mime: file.type, bytes_len: file.size, sha256 };
  const { data, error } = await client.POST("/api/upload-pipeline/upload", { body });
  if (data === undefined) throw new Error(error.code satisfies string);
  if (data.signed_url !== null) await fetch(data.signed_url, { method: "PUT", body: file });
  const params = { path: { job_id: data.job_id } };
  const { data: job } = await client.GET("/api/upload-pipeline/jobs/{job_id}", { params });
  if (job === undefined) throw new Error("There is no such job.");
  return job.state === "done" ? job : upload(file, sha256);
}
`;

const MISTAKES = `
import createClient from "openapi-fetch";
import type { paths } from "./contract.ts";

const client = createClient<paths>({});
// @ts-expect-error a field that is missing
await client.POST("/api/upload-pipeline/upload", { body: { filename: "a.txt", mime: "text/plain", bytes_len: 1 } });
// @ts-expect-error a route that there is not
await client.GET("/api/upload-pipeline/files");
const { data } = await client.GET("/api/upload-pipeline/jobs/{job_id}", { params: { path: { job_id: "" } } });
// @ts-expect-error a state that there is not
if (data?.state === "finished") throw new Error();
`;

it("a client is generated from the contract that accepts right calls and refuses wrong ones", async ({
  onTestFinished,
}) => {
  const directory = await mkdtemp(join(tmpdir(), "client-test-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  const write = (name: string, text: string) => writeFile(join(directory, name), text);
  await write("contract.ts", astToString(await openapiTypescript(pathToFileURL(CONTRACT_FILE))));
  await write("usage.ts", USAGE);
  await write("mistakes.ts", MISTAKES);
  const base = JSON.parse(await readFile(join(ROOT, "tsconfig.base.json"), "utf8"));
  const compilerOptions = { ...base.compilerOptions, lib: ["es2024", "dom"], types: [] };
  await write("tsconfig.json", JSON.stringify({ compilerOptions, include: ["*.ts"] }));
  await write("package.json", '{"type":"module"}');
  await symlink(join(ROOT, "apps/api/node_modules"), join(directory, "node_modules"));

  const { stdout } = await run(join(ROOT, "node_modules/.bin/tsc"), ["-p", directory]).catch(
    (error: { stdout: string }) => error,
  );

  expect(stdout).toBe("");
});
