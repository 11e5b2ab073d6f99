import type { BenchUser } from "./bench-users.ts";

const PREFIX = "/api/upload-pipeline";

export function jobPath(jobId: string): string {
  return `${PREFIX}/jobs/${jobId}`;
}

/** Every job of every user, asked for by its owner. */
export function apiJobs(users: readonly BenchUser[]) {
  return users.flatMap(({ job_ids }, bearer) => job_ids.map((id) => ({ path: jobPath(id), bearer, isUpload: false })));
}

export const uploadPath = `${PREFIX}/upload`;

export function apiUploads(users: readonly BenchUser[]) {
  return users.map((_, bearer) => ({ path: uploadPath, bearer, isUpload: true }));
}

/** As many reads as writes. */
export function mixedRequests(users: readonly BenchUser[]) {
  return users.flatMap(({ job_ids }, bearer) => [
    ...job_ids.slice(0, 1).map((id) => ({ path: jobPath(id), bearer, isUpload: false })),
    { path: uploadPath, bearer, isUpload: true },
  ]);
}

export function tokensOf(users: readonly BenchUser[]): string[] {
  return users.map(({ token }) => token);
}
