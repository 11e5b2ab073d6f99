import { createHash } from "node:crypto";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { ParseFile } from "./job.ts";

export interface Form {
  /** A field that came more than once is a list. */
  fields: Record<string, string | string[]>;
  file: ParseFile | undefined;
}

/** Lets the routes of `app` take multipart bodies; what is returned finds a request's form, if it has one. */
export function acceptForms(app: FastifyInstance): (request: FastifyRequest) => Form | undefined {
  const forms = new WeakMap<FastifyRequest, Form>();
  app.addContentTypeParser(
    "multipart/form-data",
    { parseAs: "buffer" },
    async (request: FastifyRequest, body: Buffer) => {
      forms.set(request, await readForm(body, request.headers["content-type"] ?? ""));
      return null;
    },
  );
  return (request) => forms.get(request);
}

async function readForm(body: Buffer, contentType: string): Promise<Form> {
  const parts = await parseParts(body, contentType);
  const fields: Form["fields"] = {};
  let file: ParseFile | undefined;
  for (const [name, value] of parts) {
    if (typeof value === "string") fields[name] = addValue(fields[name], value);
    else if (name === "file") file = await describeFile(value);
  }
  return { fields, file };
}

async function parseParts(body: Buffer, contentType: string): Promise<FormData> {
  try {
    return await new Response(new Uint8Array(body), { headers: { "content-type": contentType } }).formData();
  } catch {
    throw Object.assign(new Error("There was an error parsing the body"), { statusCode: 400 });
  }
}

function addValue(known: string | string[] | undefined, value: string): string | string[] {
  return known === undefined ? value : [known, value].flat();
}

async function describeFile(file: File): Promise<ParseFile> {
  const bytes = Buffer.from(await file.arrayBuffer());
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return { name: file.name, mime: file.type, bytes, sha256 };
}
