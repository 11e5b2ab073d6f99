/** The kinds of document this package reads; everything else is refused by name. */
export const FORMATS = ["pdf", "docx", "html", "markdown", "text"] as const;

export type Format = (typeof FORMATS)[number];

const FORMAT_BY_MIME: ReadonlyMap<string, Format> = new Map([
  ["application/pdf", "pdf"],
  ["application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"],
  ["text/html", "html"],
  ["application/xhtml+xml", "html"],
  ["text/markdown", "markdown"],
  ["text/x-markdown", "markdown"],
  ["text/plain", "text"],
]);

const MIME_BY_EXTENSION: ReadonlyMap<string, string> = new Map([
  ["pdf", "application/pdf"],
  ["docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"],
  ["html", "text/html"],
  ["htm", "text/html"],
  ["xhtml", "application/xhtml+xml"],
  ["md", "text/markdown"],
  ["markdown", "text/markdown"],
  ["txt", "text/plain"],
  ["text", "text/plain"],
]);

/** Every media type an upload may name, in lower case and without parameters. */
export const SUPPORTED_MIME_TYPES: readonly string[] = [...FORMAT_BY_MIME.keys()];

/** The format of a media type; case and parameters (`; charset=utf-8`) do not matter. */
export function formatOfMime(mime: string): Format | undefined {
  const [essence = ""] = mime.split(";");
  return FORMAT_BY_MIME.get(essence.trim().toLowerCase());
}

/** The media type a file name's extension stands for, for senders that do not know it. */
export function mimeOfFilename(filename: string): string | undefined {
  const extension = /\.([a-z]+)$/i.exec(filename.trim())?.[1];
  return extension === undefined ? undefined : MIME_BY_EXTENSION.get(extension.toLowerCase());
}
