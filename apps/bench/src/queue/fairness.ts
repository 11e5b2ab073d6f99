import { randomUUID } from "node:crypto";
import { advanceJobs, type Claim, createClaimer, type Database, migrate, STAGES } from "@pipeline/db";
import { openBenchDatabase } from "../postgres/bench-database.ts";
import type { BenchServer } from "../postgres/bench-server.ts";
import { formatTable } from "../report/table.ts";
import { openBenchSession } from "./claim-time.ts";

export interface FairnessRun {
  noisy_files: number;
  in_hand: number;
  /** Files of the noisy user that were claimed between the arrival of the other user's file and its claim. */
  claimed_before: number;
}

/** Jobs in hand when the other user's file arrives, and slots that come free at once. */
const IN_HAND = 100;
const SLOTS_FREED = 10;

/** One user queues many files, another a single one while they are being worked on. */
export async function measureFairness(server: BenchServer, noisyFiles: number): Promise<FairnessRun> {
  const url = await server.createDatabase();
  const database = openBenchDatabase(url, { poolSize: 2 });
  try {
    await migrate(database);
    await queueFiles(database, { user_id: randomUUID(), count: noisyFiles });
    const session_id = await openBenchSession(database);
    const claimer = createClaimer(database);
    const inHand: Claim[] = [];
    const workOff = async (): Promise<Claim[]> => {
      await complete(database, inHand.splice(0, SLOTS_FREED));
      const claims = await claimer.claim({ session_id, limit: IN_HAND - inHand.length });
      inHand.push(...claims);
      return claims;
    };
    // The noisy user is well under way when the other one comes.
    for (let served = 0; served < noisyFiles / 10;) served += (await workOff()).length;
    const user_id = randomUUID();
    await queueFiles(database, { user_id, count: 1 });
    let claimed_before = 0;
    for (;;) {
      const claims = await workOff();
      const place = claims.findIndex((claim) => claim.user_id === user_id);
      claimed_before += place === -1 ? claims.length : place;
      if (place !== -1 || claims.length === 0) return { noisy_files: noisyFiles, in_hand: IN_HAND, claimed_before };
    }
  } finally {
    await database.close();
    await server.dropDatabase(url);
  }
}

/** As an operator queues them by hand. */
async function queueFiles(database: Database, { user_id, count }: { user_id: string; count: number }): Promise<void> {
  await database.run(
    `insert into ${database.schema}.documents (document_id, user_id, filename, mime, bytes_len, file_sha256, raw_path)
     select gen_random_uuid(), $1, 'letter.txt', 'text/plain', 12, 'file ' || i, 'somewhere' from generate_series(1, $2::int) i`,
    [user_id, count],
  );
  await database.run(
    `insert into ${database.schema}.upload_jobs (document_id)
     select document_id from ${database.schema}.documents where user_id = $1`,
    [user_id],
  );
}

async function complete(database: Database, claims: readonly Claim[]): Promise<void> {
  if (claims.length === 0) return;
  for (const { from, to } of STAGES) {
    await advanceJobs(
      database,
      claims.map(({ job_id, fence }) => ({ job_id, fence, from, to, progress: {}, detail: {} })),
    );
  }
}

export function formatFairness({ noisy_files, in_hand, claimed_before }: FairnessRun): string {
  return formatTable("A single file behind another user's many, ours", [
    ["noisy user's files", "in hand", "of them claimed before the single file"],
    [noisy_files, in_hand, claimed_before].map((value) => value.toLocaleString("en-US")),
  ]);
}
