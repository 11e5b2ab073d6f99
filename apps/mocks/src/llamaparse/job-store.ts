import type { Job } from "./job.ts";

export interface FileStats {
  sha256: string;
  job_count: number;
  /** Jobs that cost credits. */
  billed_count: number;
  billed_credits: number;
  cache_hit_count: number;
  /** Jobs whose submission was not answered: the client cannot know of them, so one more is no mistake. */
  lost_count: number;
}

export interface JobStats {
  id: string;
  file_sha256: string;
  status: Job["status"];
  page_count: number;
  credits: number;
  is_cache_hit: boolean;
  is_answer_lost: boolean;
  poll_count: number;
}

export interface BillingStats {
  billed_pages: number;
  billed_credits: number;
  /** Jobs that were billed although an earlier one for the same file was billed and known to the client. */
  paid_again_count: number;
  files: FileStats[];
  jobs: JobStats[];
}

export interface JobStore {
  add(job: Job): void;
  /** Deleted jobs are not found; what they cost stays on the bill. */
  find(id: string): Job | undefined;
  /** Oldest first. */
  list(): Job[];
  countFor(fileSha256: string): number;
  /** What has been billed so far. */
  credits(): number;
  stats(): BillingStats;
}

export function createJobStore(): JobStore {
  const jobs = new Map<string, Job>();
  return {
    add: (job) => void jobs.set(job.id, job),
    find(id) {
      const job = jobs.get(id);
      return job?.isDeleted === false ? job : undefined;
    },
    list: () => [...jobs.values()].filter(({ isDeleted }) => !isDeleted),
    countFor: (sha256) => [...jobs.values()].filter(({ fileSha256 }) => fileSha256 === sha256).length,
    credits: () => sum([...jobs.values()].map(({ credits }) => credits)),
    stats: () => summarise([...jobs.values()]),
  };
}

function summarise(jobs: readonly Job[]): BillingStats {
  const billed = jobs.filter(({ credits }) => credits > 0);
  const files = [...Map.groupBy(jobs, ({ fileSha256 }) => fileSha256)];
  return {
    billed_pages: sum(billed.map(({ pages }) => countRead(pages))),
    billed_credits: sum(billed.map(({ credits }) => credits)),
    paid_again_count: sum(files.map(([, ofFile]) => countPaidAgain(ofFile))),
    files: files.map(([sha256, ofFile]) => describeFile(sha256, ofFile)),
    jobs: jobs.map(describeJob),
  };
}

export function countRead(pages: Job["pages"]): number {
  return pages.filter(({ error }) => error === undefined).length;
}

function countPaidAgain(jobs: readonly Job[]): number {
  const billed = jobs.filter(({ credits }) => credits > 0);
  const firstKnown = billed.findIndex(({ isAnswerLost }) => !isAnswerLost);
  return firstKnown === -1 ? 0 : billed.length - firstKnown - 1;
}

function describeFile(sha256: string, jobs: readonly Job[]): FileStats {
  return {
    sha256,
    job_count: jobs.length,
    billed_count: jobs.filter(({ credits }) => credits > 0).length,
    billed_credits: sum(jobs.map(({ credits }) => credits)),
    cache_hit_count: jobs.filter(({ isCacheHit }) => isCacheHit).length,
    lost_count: jobs.filter(({ isAnswerLost }) => isAnswerLost).length,
  };
}

function describeJob(job: Job): JobStats {
  return {
    id: job.id,
    file_sha256: job.fileSha256,
    status: job.status,
    page_count: job.pages.length,
    credits: job.credits,
    is_cache_hit: job.isCacheHit,
    is_answer_lost: job.isAnswerLost,
    poll_count: job.pollCount,
  };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
