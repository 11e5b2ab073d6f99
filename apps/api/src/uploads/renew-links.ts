import { getDocument, getJob, isTerminal } from "@pipeline/db";
import { AppError } from "@pipeline/runtime";
import { z } from "zod";
import type { UploadBody } from "../contract/upload-body.ts";
import type { ApiDependencies } from "../dependencies.ts";
import { presentUpload } from "./accept-upload.ts";
import { openUploadLink } from "./open-upload-link.ts";

const keptUpload = z.looseObject({ job_id: z.string(), duplicate: z.boolean() });

/**
 * An answer to POST /upload that was kept without its link, with a fresh one while the bytes are missing, for what is
 * promised by now. Undefined where nothing comes of its job any more: it failed, was cancelled or is deleted, and the file
 * has to be promised anew.
 */
export async function renewLinks(
  dependencies: ApiDependencies,
  asked: { user_id: string; correlation_id: string; kept: Record<string, unknown> },
): Promise<Record<string, unknown> | undefined> {
  const { user_id, kept } = asked;
  const { job_id, duplicate } = keptUpload.parse(kept);
  try {
    const job = await getJob(dependencies.database, { user_id, job_id });
    if (isTerminal(job.state) && job.state !== "done") return undefined;
    const document = await getDocument(dependencies.database, { user_id, document_id: job.document_id });
    const opened = await openUploadLink(dependencies, {
      registered: { document, job, duplicate: true, replaced_path: null },
      uploadSeconds: dependencies.settings.uploadLimits.uploadLinkSeconds,
      correlation_id: asked.correlation_id,
    });
    const body: UploadBody = { ...presentUpload(opened), duplicate };
    return { ...kept, ...body };
  } catch (error) {
    if (error instanceof AppError && error.kind === "not_found") return undefined;
    throw error;
  }
}
