import { z } from "zod";
import { type LlamaParse, type LlamaParseOptions, startLlamaParse } from "./start-llamaparse.ts";

export const KEY = "llx-test";
const started: LlamaParse[] = [];

/** An emulator that `closeStarted` closes. */
export async function start(options: LlamaParseOptions = {}): Promise<LlamaParse> {
  const emulator = await startLlamaParse(options);
  started.push(emulator);
  return emulator;
}

export async function closeStarted(): Promise<void> {
  await Promise.all(started.splice(0).map((emulator) => emulator.close()));
}

export function ask(emulator: LlamaParse, path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (!headers.has("authorization")) headers.set("authorization", `Bearer ${KEY}`);
  return fetch(`${emulator.url}${path}`, { ...init, headers });
}

export interface Upload {
  name?: string;
  content?: string | Uint8Array<ArrayBuffer>;
  type?: string;
  fields?: Record<string, string>;
}

/** A v1 upload. */
export function upload(
  emulator: LlamaParse,
  { name = "claim.md", content = "# Claims\n\nSubmit within 180 days.", type = "", fields = {} }: Upload = {},
): Promise<Response> {
  const form = new FormData();
  form.set("file", new File([content], name, { type }));
  for (const [field, value] of Object.entries(fields)) form.append(field, value);
  return ask(emulator, "/api/v1/parsing/upload", { method: "POST", body: form });
}

const jobSchema = z.object({
  id: z.uuid(),
  status: z.string(),
  error_code: z.string().nullish(),
  error_message: z.string().nullish(),
});

/** Uploads and waits for the job's end. */
export async function parse(emulator: LlamaParse, file: Upload = {}): Promise<z.infer<typeof jobSchema>> {
  const { id } = jobSchema.parse(await (await upload(emulator, file)).json());
  await emulator.settled();
  return findJob(emulator, id);
}

export async function findJob(emulator: LlamaParse, id: string): Promise<z.infer<typeof jobSchema>> {
  return jobSchema.parse(await (await ask(emulator, `/api/v1/parsing/job/${id}`)).json());
}

const resultSchema = z.looseObject({
  markdown: z.string().optional(),
  text: z.string().optional(),
  pages: z.array(z.looseObject({ page: z.int(), md: z.string(), status: z.string() })).optional(),
  job_metadata: z.record(z.string(), z.unknown()),
});

export async function readResult(
  emulator: LlamaParse,
  { id, kind }: { id: string; kind: "markdown" | "text" | "json" },
): Promise<z.infer<typeof resultSchema>> {
  return resultSchema.parse(await (await ask(emulator, `/api/v1/parsing/job/${id}/result/${kind}`)).json());
}

const refusalSchema = z.strictObject({ detail: z.unknown() });

export async function refusal(response: Response): Promise<{ status: number; detail: unknown }> {
  return { status: response.status, detail: refusalSchema.parse(await response.json()).detail };
}
