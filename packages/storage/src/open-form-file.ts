import { type Readable, pipeline } from "node:stream";
import { Busboy } from "@fastify/busboy";
import { AppError } from "@pipeline/runtime";

/** The file of a multipart body. */
export interface FormFile {
  body: Readable;
  contentType: string;
}

/** Fields besides the file are few and short: `cacheControl`, and perhaps some metadata. */
const LIMITS = { files: 1, fields: 10, fieldSize: 16_384, headerPairs: 100, headerSize: 16_384 };

export function isForm(contentType: string | undefined): contentType is string {
  return contentType !== undefined && /^multipart\/form-data\b/iu.test(contentType);
}

/**
 * The first file of a form, as a stream that is as long as it turns out to be. supabase-js sends Blobs and Files so,
 * which is what a browser has. Errors: invalid `upload_form_invalid`; a form that breaks off destroys the stream.
 */
export function openFormFile(form: Readable, contentType: string): Promise<FormFile> {
  return new Promise((resolve, reject) => {
    let opened: Readable | undefined;
    const parser = openParser(contentType);
    parser.on("file", (_field, body, _name, _encoding, type) => {
      opened = body;
      // It may break before anybody reads it, or when it was refused; who does read it is told all the same.
      body.on("error", () => {});
      resolve({ body, contentType: type });
    });
    pipeline(form, parser, (error) => {
      // The parser leaves the file of a broken form waiting for ever.
      if (error !== null && error !== undefined) opened?.destroy(error);
      reject(invalidForm(error));
    });
  });
}

function openParser(contentType: string): InstanceType<typeof Busboy> {
  try {
    return new Busboy({ headers: { "content-type": contentType }, limits: LIMITS });
  } catch (error) {
    throw invalidForm(error);
  }
}

function invalidForm(cause: unknown): AppError {
  return new AppError({
    kind: "invalid",
    code: "upload_form_invalid",
    message: "The form holds no file, or is cut off.",
    cause,
  });
}
