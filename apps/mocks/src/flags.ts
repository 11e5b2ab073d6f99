import { Command } from "commander";
import { z } from "zod";
import type { FaultOptions } from "./emulator/fault-plan.ts";
import type { ListenOptions } from "./emulator/listen.ts";
import type { LlamaParseOptions } from "./llamaparse/start-llamaparse.ts";
import { MOCK_PORTS, type MocksOptions } from "./start-mocks.ts";
import type { SupabaseOptions } from "./supabase/start-supabase.ts";

const port = z.coerce.number().int().min(0).max(65_535);
const share = z.coerce.number().min(0).max(1).default(0);
const positive = z.coerce.number().int().min(1);
const range = z
  .string()
  .regex(/^\d+(-\d+)?$/, { error: "must be a number or a range like 20-200" })
  .transform((text): [number, number] => {
    const [low = 0, high = low] = text.split("-").map(Number);
    return [low, high];
  });

const flagsSchema = z.object({
  host: z.string(),
  llamaparsePort: port,
  openaiPort: port,
  supabasePort: port,
  seed: z.coerce.number().int(),
  latencyMs: range.optional(),
  serverErrors: share,
  rateLimits: share,
  emptyAccounts: share,
  halfBodies: share,
  timeouts: share,
  hangMs: positive.optional(),
  parseMs: range.optional(),
  lostCallbacks: share,
  duplicateCallbacks: share,
  lateCallbacks: share,
  forgedCallbacks: share,
  lateMs: range.optional(),
  webhookHost: z.array(z.string()).optional(),
  creditLimit: positive.optional(),
  uploadsPerMinute: positive.optional(),
  requestsPerMinute: positive.optional(),
  tokensPerMinute: positive.optional(),
});
type Flags = z.infer<typeof flagsSchema>;

export function createCommand(): Command {
  return new Command("mocks")
    .description(
      "Runs emulators of LlamaParse, OpenAI and Supabase for development and tests, with faults as you order them.",
    )
    .option("--host <address>", "where to listen; only containers need another", "127.0.0.1")
    .option("--llamaparse-port <port>", "port of LlamaParse; 0 takes any free one", String(MOCK_PORTS.llamaparse))
    .option("--openai-port <port>", "port of OpenAI; 0 takes any free one", String(MOCK_PORTS.openai))
    .option("--supabase-port <port>", "port of Supabase; 0 takes any free one", String(MOCK_PORTS.supabase))
    .option("--seed <number>", "repeats latencies and faults", "1")
    .option("--latency-ms <range>", "how long each request waits, such as 20-200")
    .option("--server-errors <share>", "share of the requests, 0 to 1, that get a 500, 502 or 503")
    .option("--rate-limits <share>", "share that gets a 429")
    .option("--empty-accounts <share>", "share that gets LlamaParse's 402 or OpenAI's insufficient_quota")
    .option("--half-bodies <share>", "share whose answer is cut off in the middle, after it was billed")
    .option("--timeouts <share>", "share that is billed and never answered")
    .option("--hang-ms <number>", "how long a connection without an answer stays open (default: 30000)")
    .option("--parse-ms <range>", "how long a LlamaParse job takes besides its reading, such as 500-3000")
    .option("--lost-callbacks <share>", "share of LlamaParse's callbacks that never come")
    .option("--duplicate-callbacks <share>", "share that comes twice")
    .option("--late-callbacks <share>", "share that comes late")
    .option("--late-ms <range>", "how late (default: 5000)")
    .option("--forged-callbacks <share>", "share of the jobs for which somebody forges a success")
    .option("--webhook-host <host>", "a host besides this machine that callbacks may go to; repeatable", addToList)
    .option("--credit-limit <credits>", "LlamaParse's uploads get a 402 once so many are used")
    .option("--uploads-per-minute <number>", "LlamaParse's rate limit; none by default")
    .option("--requests-per-minute <number>", "OpenAI's rate limit (default: 10000)")
    .option("--tokens-per-minute <number>", "OpenAI's rate limit (default: 10000000)")
    .addHelpText("after", "\nRefuses to start where ENVIRONMENT is staging or production. Ctrl-C stops it.");
}

function addToList(value: string, previous: string[] = []): string[] {
  return [...previous, value];
}

/** The command's flags as options; ends the command where they cannot be. */
export function readFlags(raw: unknown, command: Command): MocksOptions {
  const parsed = flagsSchema.safeParse(raw);
  if (!parsed.success) {
    return command.error(
      parsed.error.issues.map(({ path, message }) => `--${toFlag(String(path[0]))}: ${message}`).join("\n"),
    );
  }
  const flags = parsed.data;
  return {
    llamaparse: { ...sharedOptions(flags), port: flags.llamaparsePort, ...llamaparseOptions(flags) },
    openai: {
      ...sharedOptions(flags),
      port: flags.openaiPort,
      ...given({ requestsPerMinute: flags.requestsPerMinute, tokensPerMinute: flags.tokensPerMinute }),
    },
    supabase: supabaseOptions(flags),
  };
}

function toFlag(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function sharedOptions(flags: Flags): FaultOptions & ListenOptions {
  return {
    host: flags.host,
    seed: flags.seed,
    rates: {
      server_error: flags.serverErrors,
      rate_limited: flags.rateLimits,
      quota: flags.emptyAccounts,
      half_body: flags.halfBodies,
      timeout: flags.timeouts,
    },
    ...given({ latencyMs: flags.latencyMs, hangMs: flags.hangMs }),
  };
}

function supabaseOptions(flags: Flags): SupabaseOptions {
  return {
    host: flags.host,
    port: flags.supabasePort,
    faults: {
      seed: flags.seed,
      maxLatencyMs: flags.latencyMs?.[1] ?? 0,
      ...given({ hangMs: flags.hangMs }),
      rates: {
        server_error: flags.serverErrors,
        rate_limit: flags.rateLimits,
        cut_answer: flags.halfBodies,
        hang: flags.timeouts,
      },
    },
  };
}

function llamaparseOptions(flags: Flags): LlamaParseOptions {
  return {
    callbackRates: {
      lost: flags.lostCallbacks,
      duplicate: flags.duplicateCallbacks,
      late: flags.lateCallbacks,
      forged: flags.forgedCallbacks,
    },
    webhookHosts: flags.webhookHost ?? [],
    ...given({
      parseMs: flags.parseMs,
      lateMs: flags.lateMs,
      creditLimit: flags.creditLimit,
      uploadsPerMinute: flags.uploadsPerMinute,
    }),
  };
}

type Given<T> = { [Name in keyof T]?: Exclude<T[Name], undefined> };

/** Without what nobody gave, so that the emulators' own defaults hold. */
function given<T extends Record<string, unknown>>(options: T): Given<T> {
  const result: Given<T> = {};
  for (const [name, value] of Object.entries(options))
    if (value !== undefined) Object.assign(result, { [name]: value });
  return result;
}
