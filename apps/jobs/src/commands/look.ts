import {
  type Database,
  type EventRow,
  getJobDetails,
  getQueueControl,
  getQueueStats,
  getWorkerHealth,
  type JobCursor,
  type JobDetails,
  listEvents,
  listJobs,
  listWorkerSessions,
  readClock,
  resolveJobId,
  STATES,
  STATUSES,
} from "@pipeline/db";
import { type Command, Option } from "commander";
import { z } from "zod";
import { formatEvents, formatJob, formatJobs } from "../format/jobs.ts";
import { formatStats, formatWorkers } from "../format/queue.ts";
import { addCommand, flags, parseLimit, parseUser } from "../options.ts";
import { type Answer, type Desk, runCommand } from "../run-command.ts";

/** Commands that change nothing. */
export function addLookCommands(program: Command): void {
  addList(program);
  addCommand(program, "show", "Shows everything about a job.")
    .argument("<job>", JOB_ARGUMENT)
    .action((job: string, raw: unknown) => runCommand(flags.parse(raw), (desk) => showJob(desk, job)));
  addCommand(program, "events", "Shows what happened to a job, oldest first.")
    .argument("<job>", JOB_ARGUMENT)
    .action((job: string, raw: unknown) => runCommand(flags.parse(raw), (desk) => showEvents(desk, job)));
  addCommand(program, "workers", "Lists the runs of workers, those alive first.")
    .option("--limit <count>", "at most so many", parseLimit, 20)
    .action((raw: unknown) => {
      const options = flags.extend({ limit: z.number() }).parse(raw);
      return runCommand(options, (desk) => showWorkers(desk, options.limit));
    });
  addCommand(program, "stats", "Counts the jobs in every state, with the age of the oldest.").action((raw: unknown) =>
    runCommand(flags.parse(raw), showStats),
  );
}

export const JOB_ARGUMENT = "the job's id, or enough of its start to be the only one";

const listOptions = flags.extend({
  state: z.enum(STATES).optional(),
  status: z.enum(STATUSES).optional(),
  user: z.string().optional(),
  code: z.string().optional(),
  after: z.string().optional(),
  limit: z.number(),
});
type ListOptions = z.infer<typeof listOptions>;

function addList(program: Command): void {
  addCommand(program, "ls", "Lists jobs, newest first.")
    .addOption(new Option("--state <state>", "only jobs in this state").choices(STATES))
    .addOption(new Option("--status <status>", "only jobs at this status").choices(STATUSES))
    .option("--user <id>", "only this user's jobs", parseUser)
    .option("--code <code>", "only jobs whose last error has this code")
    .option("--after <job>", "go on behind this job, the last of the list before")
    .option("--limit <count>", "at most so many", parseLimit, 20)
    .action((raw: unknown) => {
      const options = listOptions.parse(raw);
      return runCommand(options, (desk) => showJobs(desk, options));
    });
}

async function showJobs({ database }: Desk, options: ListOptions): Promise<Answer> {
  const { state, status, user, code, limit } = options;
  const filter = {
    ...(state === undefined ? {} : { state }),
    ...(status === undefined ? {} : { status }),
    ...(user === undefined ? {} : { user_id: user }),
    ...(code === undefined ? {} : { code }),
  };
  const before = await cursorOf(database, options.after);
  const jobs = await listJobs(database, { filter, before, limit });
  const next = jobs.length === limit ? (jobs.at(-1)?.job_id ?? null) : null;
  const more = next === null ? "" : `More: add --after ${next}\n`;
  return { json: { jobs, next }, text: formatJobs(jobs, await readClock(database)) + more };
}

async function cursorOf(database: Database, after: string | undefined): Promise<JobCursor | undefined> {
  return after === undefined ? undefined : getJob(database, after);
}

async function getJob(database: Database, prefix: string): Promise<JobDetails> {
  return getJobDetails(database, await resolveJobId(database, prefix));
}

async function showJob({ database }: Desk, prefix: string): Promise<Answer> {
  const job = await getJob(database, prefix);
  return { json: { job }, text: formatJob(job, await readClock(database)) };
}

const EVENTS_PER_READ = 1_000;

async function showEvents({ database }: Desk, prefix: string): Promise<Answer> {
  const { job_id, user_id } = await getJob(database, prefix);
  const events: EventRow[] = [];
  for (;;) {
    const after = events.at(-1)?.event_id ?? 0;
    const page = await listEvents(database, { job_id, user_id, after, limit: EVENTS_PER_READ });
    events.push(...page);
    if (page.length < EVENTS_PER_READ) break;
  }
  return { json: { events }, text: formatEvents(events, await readClock(database)) };
}

async function showWorkers({ database }: Desk, limit: number): Promise<Answer> {
  const workers = await listWorkerSessions(database, limit);
  return { json: { workers }, text: formatWorkers(workers, await readClock(database)) };
}

async function showStats({ database }: Desk): Promise<Answer> {
  const stats = await getQueueStats(database);
  const control = await getQueueControl(database);
  const { live_count: live_worker_count } = await getWorkerHealth(database);
  const text = formatStats({ stats, control, live_worker_count }, await readClock(database));
  return { json: { ...stats, control, live_worker_count }, text };
}
