import { randomUUID } from "node:crypto";
import type { Database } from "@pipeline/db";
import { startOwnServer } from "@pipeline/db/postgres-container";
import { z } from "zod";
import { sumContainerCpu } from "../scale/process-cpu.ts";
import { openBenchDatabase } from "./bench-database.ts";

/** Commits are as durable as by default; only checkpoints are kept out of the runs. */
const SETTINGS = ["max_wal_size=8GB", "shared_buffers=512MB", "max_connections=200"];

/** A server that the benchmark may create databases on. */
export interface BenchServer {
  version: string;
  /** A database of the benchmark's own, empty or a copy of a template that nobody is connected to. Answers its URL. */
  createDatabase(template?: string): Promise<string>;
  dropDatabase(url: string): Promise<void>;
  /** Seconds of processor time that the server has used; only where it was started here. */
  readCpu?: () => Promise<number>;
  /** Kills the server and starts it again after so long; only where it was started here. */
  restart?: (awayMs: number) => Promise<void>;
  /** Drops what is left, and ends a server that was started here. */
  stop(): Promise<void>;
}

/** The server at `url`, whose user must be allowed to create databases; without one, a container. */
export async function startBenchServer(url: string | undefined): Promise<BenchServer> {
  if (url !== undefined) return connectServer(url, async () => undefined);
  const own = await startOwnServer(SETTINGS);
  const server = await connectServer(own.url, () => own.stop());
  return {
    ...server,
    // A process that ends meanwhile makes `cat` complain; the others are still told.
    readCpu: async () => sumContainerCpu(await own.exec(["sh", "-c", "cat /proc/[0-9]*/stat 2>/dev/null"])),
    restart: (awayMs) => own.restart("crash", awayMs),
  };
}

async function connectServer(url: string, stopServer: () => Promise<void>): Promise<BenchServer> {
  const admin = openBenchDatabase(url, { poolSize: 1 });
  const names = new Set<string>();
  try {
    const [row] = await admin.many(z.object({ server_version: z.string() }), "show server_version");
    return {
      version: row?.server_version ?? "unknown",
      createDatabase: (template) => createDatabase(admin, { url, names, template }),
      dropDatabase: (database) => dropDatabase(admin, { names, name: nameOf(database) }),
      stop: async () => {
        for (const name of names) await dropDatabase(admin, { names, name });
        await admin.close();
        await stopServer();
      },
    };
  } catch (error) {
    await admin.close();
    await stopServer();
    throw error;
  }
}

async function createDatabase(
  admin: Database,
  input: { url: string; names: Set<string>; template: string | undefined },
): Promise<string> {
  const name = `pipeline_bench_${randomUUID().replaceAll("-", "")}`;
  input.names.add(name);
  // Copying files ends in a checkpoint, so that every run begins with one.
  const copy = input.template === undefined ? "" : ` template ${nameOf(input.template)} strategy file_copy`;
  await admin.run(`create database ${name}${copy}`);
  const created = new URL(input.url);
  created.pathname = `/${name}`;
  return created.toString();
}

async function dropDatabase(admin: Database, { names, name }: { names: Set<string>; name: string }): Promise<void> {
  await admin.run(`drop database if exists ${name} with (force)`);
  names.delete(name);
}

/** Only names that were made here get into statements. */
function nameOf(url: string): string {
  return z
    .string()
    .regex(/^pipeline_bench_[0-9a-f]{32}$/)
    .parse(new URL(url).pathname.slice(1));
}
