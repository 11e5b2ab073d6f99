import {
  cancelJob,
  redriveJobs,
  type RedriveFilter,
  reprocessDocument,
  REPROCESS_FROM,
  resolveDocumentId,
  resolveJobId,
  retryJob,
  STAGES,
} from "@pipeline/db";
import { type Command, Option } from "commander";
import { z } from "zod";
import { addCommand, flags, parseLimit, parseTime, parseUser } from "../options.ts";
import { type Answer, type Desk, runCommand } from "../run-command.ts";
import { JOB_ARGUMENT } from "./look.ts";

/** Commands that move jobs. */
export function addChangeCommands(program: Command): void {
  addCommand(program, "retry", "Queues a failed, cancelled or backing-off job again, at the status it has reached.")
    .argument("<job>", JOB_ARGUMENT)
    .action((job: string, raw: unknown) => runCommand(flags.parse(raw), (desk) => retry(desk, job)));
  addRedrive(program);
  addCommand(program, "reprocess", "Makes a new job that builds a finished document anew from a stage on.")
    .argument("<document>", "the document's id, or enough of its start to be the only one")
    .addOption(
      new Option("--from <stage>", "the stage to begin with, or its status")
        .choices(REPROCESS_FROM)
        .makeOptionMandatory(),
    )
    .addHelpText("after", "\nThe document stays searchable as it is until the new job is done.")
    .action((document: string, raw: unknown) => {
      const { json, from } = flags.extend({ from: z.enum(REPROCESS_FROM) }).parse(raw);
      return runCommand({ json }, (desk) => reprocess(desk, { document, from }));
    });
  addCommand(program, "cancel", "Ends a job. A worker that has it in hand stops within a heartbeat.")
    .argument("<job>", JOB_ARGUMENT)
    .action((job: string, raw: unknown) => runCommand(flags.parse(raw), (desk) => cancel(desk, job)));
}

const redriveOptions = flags.extend({
  code: z.string().optional(),
  stage: z.enum(STAGES.map((definition) => definition.stage)).optional(),
  before: z.date().optional(),
  user: z.string().optional(),
  all: z.boolean(),
  limit: z.number(),
});

function addRedrive(program: Command): void {
  addCommand(program, "redrive", "Queues dead letters again, oldest job first.")
    .option("--code <code>", "only those that failed with this code")
    .addOption(
      new Option("--stage <stage>", "only those that failed in this stage").choices(
        STAGES.map((definition) => definition.stage),
      ),
    )
    .option("--before <time>", "only those that failed before then (ISO 8601)", parseTime)
    .option("--user <id>", "only this user's", parseUser)
    .option("--all", "every dead letter that can be retried", false)
    .option("--limit <count>", "at most so many", parseLimit, 100)
    .action((raw: unknown, command: Command) => {
      const { json, all, user, limit, code, stage, before } = redriveOptions.parse(raw);
      const filter = {
        ...(code === undefined ? {} : { code }),
        ...(stage === undefined ? {} : { stage }),
        ...(before === undefined ? {} : { before }),
        ...(user === undefined ? {} : { user_id: user }),
      };
      // A slip of the hand should not pay for every document again.
      if (!all && Object.keys(filter).length === 0) command.error("error: say which ones, or --all");
      return runCommand({ json }, (desk) => redrive(desk, { ...filter, limit }));
    });
}

async function retry({ database, correlation_id, wake }: Desk, prefix: string): Promise<Answer> {
  const job_id = await resolveJobId(database, prefix);
  const job = await database.transaction((tx) => retryJob(tx, { job_id, correlation_id }));
  wake();
  return { json: { job, correlation_id }, text: `Job ${job.job_id} is ${job.state} at ${job.status}.\n` };
}

async function redrive({ database, correlation_id, wake }: Desk, filter: RedriveFilter): Promise<Answer> {
  const jobs = await database.transaction((tx) => redriveJobs(tx, { filter, correlation_id }));
  if (jobs.length > 0) wake();
  const job_ids = jobs.map((job) => job.job_id);
  const more = jobs.length === filter.limit ? " There may be more." : "";
  const lines = job_ids.map((id) => `${id}\n`).join("");
  return { json: { job_ids, correlation_id }, text: `${lines}${job_ids.length} dead letters queued again.${more}\n` };
}

async function reprocess(
  { database, correlation_id, wake }: Desk,
  request: { document: string; from: (typeof REPROCESS_FROM)[number] },
): Promise<Answer> {
  const document_id = await resolveDocumentId(database, request.document);
  const { from } = request;
  const job = await database.transaction((tx) => reprocessDocument(tx, { document_id, from, correlation_id }));
  wake();
  return { json: { job, correlation_id }, text: `Job ${job.job_id} is ${job.state} at ${job.status}.\n` };
}

async function cancel({ database, correlation_id }: Desk, prefix: string): Promise<Answer> {
  const job_id = await resolveJobId(database, prefix);
  const job = await cancelJob(database, { job_id, correlation_id });
  return { json: { job, correlation_id }, text: `Job ${job.job_id} is ${job.state} at ${job.status}.\n` };
}
