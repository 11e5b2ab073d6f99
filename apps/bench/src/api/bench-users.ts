import { createHash, randomUUID } from "node:crypto";
import { type Database, registerUpload } from "@pipeline/db";
import { documentId } from "@pipeline/runtime";
import { SignJWT } from "jose";
import { TOKEN_SECRET } from "./api-process.ts";

/** Somebody with jobs that wait for their uploads. */
export interface BenchUser {
  token: string;
  job_ids: string[];
}

const JOBS_PER_USER = 20;

export async function createUsers(database: Database, count: number): Promise<BenchUser[]> {
  const users: BenchUser[] = [];
  for (let index = 0; index < count; index += 1) {
    const user_id = randomUUID();
    const job_ids: string[] = [];
    for (let job = 0; job < JOBS_PER_USER; job += 1) job_ids.push(await createJob(database, user_id));
    users.push({ token: await signToken(user_id), job_ids });
  }
  return users;
}

async function createJob(database: Database, user_id: string): Promise<string> {
  const file_sha256 = createHash("sha256").update(randomUUID()).digest("hex");
  const document_id = documentId(user_id, file_sha256);
  const job_id = randomUUID();
  const upload = {
    document_id,
    job_id,
    user_id,
    filename: "letter.txt",
    mime: "text/plain",
    bytes_len: 12,
    file_sha256,
    raw_path: `${document_id}/${job_id}`,
    metadata: {},
    correlation_id: randomUUID(),
    uploadSeconds: 7_200,
    firstProbeMs: 7_200_000,
  };
  const { job } = await database.transaction((tx) => registerUpload(tx, upload));
  return job.job_id;
}

function signToken(userId: string): Promise<string> {
  return new SignJWT({ role: "authenticated" })
    .setProtectedHeader({ alg: "HS256", typ: "JWT" })
    .setSubject(userId)
    .setAudience("authenticated")
    .setIssuedAt()
    .setExpirationTime("12h")
    .sign(new TextEncoder().encode(TOKEN_SECRET));
}
