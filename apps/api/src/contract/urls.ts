/** Where everything but health and the disk store's links is served. */
export const API_PREFIX = "/api/upload-pipeline";

export function adminJobUrl(jobId: string): string {
  return `${API_PREFIX}/admin/jobs/${jobId}`;
}

export function jobUrl(jobId: string): string {
  return `${API_PREFIX}/jobs/${jobId}`;
}
