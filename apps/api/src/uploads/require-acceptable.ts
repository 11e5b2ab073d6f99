import { AppError, formatOfMime, SUPPORTED_MIME_TYPES } from "@pipeline/runtime";

export interface AnnouncedFile {
  mime: string;
  bytes_len: number;
  ocr: boolean;
}

/**
 * Refuses what the pipeline could only fail on later: invalid `empty_file`, `ocr_unavailable` and
 * `unsupported_media_type`, too_large `file_too_large`. Answers the media type as it is stored: lower case, bare.
 */
export function requireAcceptable(file: AnnouncedFile, maxFileBytes: number): string {
  const mime = (file.mime.split(";", 1)[0] ?? "").trim().toLowerCase();
  if (formatOfMime(mime) === undefined) {
    const message = `Files of this type are not supported; supported are ${SUPPORTED_MIME_TYPES.join(", ")}.`;
    throw new AppError({ kind: "invalid", code: "unsupported_media_type", message });
  }
  if (file.bytes_len === 0) {
    throw new AppError({ kind: "invalid", code: "empty_file", message: "The file is empty." });
  }
  if (file.bytes_len > maxFileBytes) {
    const message = `The file has ${file.bytes_len} bytes; at most ${maxFileBytes} are accepted.`;
    throw new AppError({ kind: "too_large", code: "file_too_large", message });
  }
  if (file.ocr) {
    // Accepting it would promise text of scanned pages that nobody reads.
    const message = "Text recognition of scanned pages is not available; send the file without ocr.";
    throw new AppError({ kind: "invalid", code: "ocr_unavailable", message });
  }
  return mime;
}
