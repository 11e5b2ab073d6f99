import type { BenchUser } from "./bench-users.ts";

const PREFIX = "/api/upload-pipeline";
export const API_UPLOAD = `${PREFIX}/upload`;

export function jobPath(jobId: string): string {
  return `${PREFIX}/jobs/${jobId}`;
}

/** Every job of every user, asked for by its owner. */
export function apiJobs(users: readonly BenchUser[]) {
  return users.flatMap(({ token, job_ids }) => job_ids.map((id) => ({ path: jobPath(id), token, isUpload: false })));
}

/** As many reads as writes. */
export function mixedRequests(users: readonly BenchUser[]) {
  return users.flatMap(({ token, job_ids }) => [
    ...job_ids.slice(0, 1).map((id) => ({ path: jobPath(id), token, isUpload: false })),
    { path: API_UPLOAD, token, isUpload: true },
  ]);
}
