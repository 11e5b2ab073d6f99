import { expect, test } from "vitest";
import { createCommand, readFlags } from "./flags.ts";

/** What the flags come to; throws where the command would end. */
function read(...args: string[]): ReturnType<typeof readFlags> {
  const command = createCommand()
    .exitOverride()
    .configureOutput({ writeErr: () => undefined });
  command.parse(args, { from: "user" });
  return readFlags(command.opts(), command);
}

test("without flags the emulators listen on their ports of the operators' guide and do no harm", () => {
  const none = { server_error: 0, rate_limited: 0, quota: 0, half_body: 0, timeout: 0 };
  const shared = { host: "127.0.0.1", seed: 1, rates: none };
  expect(read()).toEqual({
    llamaparse: {
      ...shared,
      port: 8001,
      callbackRates: { lost: 0, duplicate: 0, late: 0, forged: 0 },
      webhookHosts: [],
    },
    openai: { ...shared, port: 8002 },
    supabase: {
      host: "127.0.0.1",
      port: 8003,
      faults: { seed: 1, maxLatencyMs: 0, rates: { server_error: 0, rate_limit: 0, cut_answer: 0, hang: 0 } },
    },
  });
});

test("every flag reaches the emulator that it is for", () => {
  const faults = [
    "--server-errors=.1",
    "--rate-limits=.2",
    "--empty-accounts=.05",
    "--half-bodies=.1",
    "--timeouts=.1",
  ];
  const callbacks = ["--lost-callbacks=.1", "--duplicate-callbacks=.2", "--late-callbacks=.3", "--forged-callbacks=.4"];
  const waits = ["--latency-ms=20-200", "--hang-ms=900", "--parse-ms=500", "--late-ms=7-9"];
  const limits = [
    "--credit-limit=100",
    "--uploads-per-minute=50",
    "--requests-per-minute=60",
    "--tokens-per-minute=70",
  ];
  const rest = [
    "--seed=7",
    "--host=0.0.0.0",
    "--llamaparse-port=9",
    "--openai-port=0",
    "--supabase-port=5",
    "--webhook-host=a",
  ];
  const shared = {
    host: "0.0.0.0",
    seed: 7,
    latencyMs: [20, 200],
    hangMs: 900,
    rates: { server_error: 0.1, rate_limited: 0.2, quota: 0.05, half_body: 0.1, timeout: 0.1 },
  };
  expect(read(...faults, ...callbacks, ...waits, ...limits, ...rest, "--webhook-host=b")).toEqual({
    llamaparse: {
      ...shared,
      port: 9,
      parseMs: [500, 500],
      lateMs: [7, 9],
      creditLimit: 100,
      uploadsPerMinute: 50,
      webhookHosts: ["a", "b"],
      callbackRates: { lost: 0.1, duplicate: 0.2, late: 0.3, forged: 0.4 },
    },
    openai: { ...shared, port: 0, requestsPerMinute: 60, tokensPerMinute: 70 },
    supabase: {
      host: "0.0.0.0",
      port: 5,
      faults: {
        seed: 7,
        hangMs: 900,
        maxLatencyMs: 200,
        rates: { server_error: 0.1, rate_limit: 0.2, cut_answer: 0.1, hang: 0.1 },
      },
    },
  });
});

test.for([
  ["--timeouts=2", "--timeouts: "],
  ["--latency-ms=fast", "--latency-ms: must be a number or a range"],
  ["--openai-port=70000", "--openai-port: "],
  ["--credit-limit=none", "--credit-limit: "],
] as const)("%s is refused by name", ([flag, message]) => {
  expect(() => read(flag)).toThrow(message);
});
