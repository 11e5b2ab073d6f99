import { type Check, checkDatabase, checkOf } from "./checks.ts";
import { add } from "./fleet.ts";
import { judgeTakeovers } from "./judge-takeovers.ts";
import { countDone, tallyEvents } from "./observe.ts";
import { listGroupMembers } from "./processes.ts";
import type { ChaosReport, CrashFigures } from "./report.ts";
import { type ChaosRun, seconds } from "./chaos-run.ts";
import type { LostClaim } from "./takeovers.ts";

/** The proof and the figures, once everything has stopped. */
export async function writeReport(run: ChaosRun): Promise<ChaosReport> {
  const { options, server, faults, load, poison, takeovers } = run;
  const { database } = server;
  const lost = await takeovers.settle();
  const { figures, rescuedLate, takenLate } = judgeTakeovers(lost, faults.outages);
  const poisonJobId = poison.sent?.job_id;
  const jobIds = load.sent.map((sent) => sent.job_id).filter((id) => id !== poisonJobId);
  const leftovers = { copies: run.leftovers.length, allowed: lost.length };
  const inDatabase = await checkDatabase(database, { jobIds, poisonJobId });
  const checks = [
    ...inDatabase,
    checkOf("rescue", `every job of a lost worker is free for others ${IN_TIME}`, rescuedLate),
    checkOf("takeover", `every job of a lost worker is in other hands ${IN_TIME}`, takenLate),
    ...(await checkOutside(run, leftovers)),
  ];
  return {
    ok: checks.every((check) => !fails(check)) && !run.interrupted,
    interrupted: run.interrupted,
    seed: options.seed,
    server: server.described,
    plan: planOf(run),
    duration_s: seconds(run.startedAt),
    documents: { sent: load.sent.length, complete: await countDone(database), repeated_uploads: load.repeated },
    faults: faultsOf(run),
    takeovers: figures,
    crashes: crashFigures(lost, inDatabase),
    stale_writes: { tried: takeovers.stale.tried, accepted: takeovers.stale.accepted.length },
    workers: workersOf(run),
    events: await tallyEvents(database),
    leftovers,
    checks,
  };
}

const IN_TIME = "within 20 s, time without a server not counted";

function fails({ total, severity }: Check): boolean {
  return total > 0 && severity === "error";
}

function planOf({ options }: ChaosRun): ChaosReport["plan"] {
  const { documents, workers, counts, sparesSuspects } = options;
  return { seconds: options.seconds, documents, workers, counts, spares_suspects: sparesSuspects };
}

function faultsOf({ faults, poison }: ChaosRun): ChaosReport["faults"] {
  const outage_s = faults.outages.map(({ from, until }) => Math.round((until.getTime() - from.getTime()) / 100) / 10);
  return { ...faults.done, poison: poison.killed, spared: faults.spared, outage_s };
}

/** What the database cannot know. */
async function checkOutside(run: ChaosRun, leftovers: ChaosReport["leftovers"]): Promise<Check[]> {
  const { fleet, faults, load, takeovers, stubborn } = run;
  const alive = (await listGroupMembers(fleet.figures.pids)) ?? [];
  const tooMany = leftovers.copies > leftovers.allowed;
  return [
    checkOf("I5", "no write in the name of a former holder is accepted", takeovers.stale.accepted),
    checkOf("I14", "a worker that is asked to stop leaves nothing leased and ends with 0", [
      ...faults.rude,
      ...stubborn.map(({ pid, exit }) => ({
        id: String(pid),
        why: `ended with ${exit.code ?? exit.signal} on SIGTERM`,
      })),
    ]),
    checkOf("I15", "the same upload again is the same document and job", load.doubled),
    checkOf(
      "processes",
      "no worker and no parser is left",
      alive.map(({ pid, group, name }) => ({ id: String(pid), why: `${name} of worker ${group}` })),
    ),
    checkOf(
      "leftovers",
      "no more local copies are left than jobs lost their worker",
      tooMany ? run.leftovers.map((id) => ({ id, why: `${leftovers.copies} of ${leftovers.allowed}` })) : [],
    ),
    checkOf("faults", "every planned fault was carried out", missedFaults(run)),
  ];
}

function missedFaults({ options, faults, server, interrupted }: ChaosRun): { id: string; why: string }[] {
  if (interrupted) return [];
  return Object.entries(options.counts).flatMap(([kind, planned]) => {
    const needsOwnServer = kind === "restart" || kind === "crash";
    if (needsOwnServer && server.restart === undefined) return [];
    const done = Object.entries(faults.done).find(([name]) => name === kind)?.[1] ?? 0;
    return done < planned ? [{ id: kind, why: `${done} of ${planned}` }] : [];
  });
}

function crashFigures(lost: readonly LostClaim[], checks: readonly Check[]): CrashFigures {
  const byEarlier: Record<string, number> = {};
  for (const claim of lost) if (claim.rescuedAt !== undefined) add(byEarlier, String(claim.crash_count));
  const innocent = checks.find((check) => check.check === "innocent")?.offending ?? [];
  const last = new Map(lost.map((claim) => [claim.job_id, claim]));
  const alone = innocent.filter(({ id }) => last.get(id)?.in_hand === 1);
  return {
    by_earlier_crashes: byEarlier,
    innocent_dead_letters: innocent.length,
    innocent_dead_letters_alone: alone.length,
  };
}

function workersOf({ fleet }: ChaosRun): ChaosReport["workers"] {
  const { started, unplannedExits, claimEnds, stageFailures, warnings } = fleet.figures;
  return {
    started,
    ended_by_themselves: unplannedExits,
    claim_ends: claimEnds,
    stage_failures: stageFailures,
    warnings,
  };
}
