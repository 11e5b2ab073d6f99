import { randomUUID } from "node:crypto";
import { fastify, type FastifyReply, type FastifyRequest } from "fastify";
import { z } from "zod";
import { openBenchDatabase } from "../postgres/bench-database.ts";
import { sendToParent } from "../queue/child.ts";
import { floorInput } from "./messages.ts";

/**
 * What any server on this machine could do at best: no schemas, no authentication, no log, one statement on the pool that the
 * API has too, and its row as JSON.
 */
const { url, poolSize } = floorInput.parse(JSON.parse(process.argv[2] ?? "{}"));
const database = openBenchDatabase(url, { poolSize });
const app = fastify();
const anyRow = z.unknown();
const jobPath = z.object({ id: z.string() });
const promise = z.object({ filename: z.string(), mime: z.string(), bytes_len: z.number(), sha256: z.string() });

app.route({ method: "GET", url: "/jobs/:id", handler: readJob });
app.route({ method: "POST", url: "/upload", handler: writeRow });
// Whoever started it is gone.
process.once("disconnect", () => process.exit());
await app.listen({ host: "127.0.0.1", port: 0 });
await sendToParent({ port: z.object({ port: z.int() }).parse(app.server.address()).port });

async function readJob(request: FastifyRequest): Promise<unknown> {
  const { id } = jobPath.parse(request.params);
  const [row] = await database.many(
    anyRow,
    `select job_id, document_id, status, state, progress, retry_count, last_error, waiting_for, due_at, upload_expires_at,
       correlation_id, created_at, updated_at, finished_at
     from ${database.schema}.upload_jobs where job_id = $1`,
    [id],
  );
  return row;
}

async function writeRow(request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  const { filename, mime, bytes_len, sha256 } = promise.parse(request.body);
  const [row] = await database.many(
    anyRow,
    `insert into ${database.schema}.bench_floor (id, filename, mime, bytes_len, sha256) values ($1, $2, $3, $4, $5)
     returning id, filename, created_at`,
    [randomUUID(), filename, mime, bytes_len, sha256],
  );
  return reply.code(201).send(row);
}
