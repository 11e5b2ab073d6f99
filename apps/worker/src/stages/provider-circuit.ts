import { randomUUID } from "node:crypto";
import { closeCircuit, enterCircuit, recordProviderFault, releaseProbe } from "@pipeline/db";
import { AppError } from "@pipeline/runtime";
import { Deferral } from "../deferral.ts";
import type { StageContext } from "../stage-handler.ts";

/** Faults in a row, of all workers together, after which the provider counts as out of order. */
const FAULTS_UNTIL_OPEN = 5;
const OPEN_MS = 30_000;
const LONGEST_OPEN_MS = 5 * 60_000;
/** How long jobs wait while another one's request is the probe. */
const WAIT_FOR_PROBE_MS = 2_000;

/** Who asks which provider. */
export interface Caller {
  context: Pick<StageContext, "database" | "log">;
  provider: string;
}

export interface Admission {
  /** Set where this request tries whether the provider works again: ended by `tellWorking`, `tellFault` or `endProbe`. */
  probe_id: string | undefined;
  /** Why nobody may send but the probe. */
  outage: Deferral | undefined;
}

/** Asks whether the provider may be sent a request: yes where there is no outage, and as the probe. */
export async function askAdmission({ context, provider }: Caller, probeMs: number): Promise<Admission> {
  const probe_id = randomUUID();
  const { state, code, message, wait_ms } = await enterCircuit(context.database, { provider, probe_id, probeMs });
  if (state === "closed") return { probe_id: undefined, outage: undefined };
  const reason = new AppError({
    kind: "transient",
    code: code ?? CIRCUIT_OPEN,
    message: message ?? "A service that we depend on is out of order.",
  });
  const outage = new Deferral(reason, wait_ms > 0 ? wait_ms : WAIT_FOR_PROBE_MS);
  return { probe_id: state === "probe" ? probe_id : undefined, outage };
}

const CIRCUIT_OPEN = "provider_circuit_open";

export async function tellWorking({ context, provider }: Caller, probe_id: string | undefined): Promise<void> {
  const hasClosed = await closeCircuit(context.database, { provider, probe_id });
  if (hasClosed) context.log.info({ provider }, "provider works again");
}

/** The probe came to no verdict; once it has been told what it came to, this changes nothing. */
export async function endProbe({ context, provider }: Caller, probe_id: string | undefined): Promise<void> {
  if (probe_id !== undefined) await releaseProbe(context.database, { provider, probe_id });
}

interface Fault {
  error: AppError;
  probe_id: string | undefined;
  /** Of no use to be met again: one such fault is enough, and its code is what the jobs tell that wait. */
  isLasting: boolean;
  /** For people, of jobs that wait for anything else. */
  message: string;
}

/** Lets all workers know of a fault. Answers what to wait for, unless that is not decided yet. */
export async function tellFault({ context, provider }: Caller, fault: Fault): Promise<Deferral | undefined> {
  const { error, probe_id, isLasting } = fault;
  const told = isLasting
    ? { code: error.code, message: error.message }
    : { code: CIRCUIT_OPEN, message: fault.message };
  const { is_open, has_opened, wait_ms } = await recordProviderFault(context.database, {
    provider,
    probe_id,
    threshold: isLasting ? 1 : FAULTS_UNTIL_OPEN,
    openMs: OPEN_MS,
    longestOpenMs: LONGEST_OPEN_MS,
    retryAfterMs: error.retryAfterMs,
    ...told,
  });
  if (has_opened) context.log.error({ err: error, provider, wait_ms }, "provider is out of order");
  if (!is_open) return undefined;
  return new Deferral(new AppError({ kind: "transient", ...told, cause: error }), Math.max(wait_ms, WAIT_FOR_PROBE_MS));
}
