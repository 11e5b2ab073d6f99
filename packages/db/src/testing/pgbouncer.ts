import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { onServer } from "./test-server.ts";
import { findFreePort } from "./find-free-port.ts";

/** A PgBouncer of the test's own on loopback, in transaction mode and otherwise as it comes. */
export interface PgBouncer {
  /** The same database, through the pooler. */
  url: string;
  /** What the pooler has logged. */
  output(): string;
  stop(): Promise<void>;
}

/** Where Debian and others put it; not every user's PATH has sbin. */
const BINARY = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"].find((path) =>
  existsSync(path),
);

/** Tests of the pooler skip without it and say so. */
export function hasPgBouncer(): boolean {
  return BINARY !== undefined;
}

/** `poolSize` server connections per database, however many clients. Throws when it does not come up. */
export async function startPgBouncer(server: { url: string; poolSize: number }): Promise<PgBouncer> {
  if (BINARY === undefined) throw new Error("PgBouncer is not installed.");
  const directory = await mkdtemp(join(tmpdir(), "pgbouncer-test-"));
  const port = await findFreePort();
  const file = join(directory, "pgbouncer.ini");
  await writeFile(file, settingsOf({ ...server, port }));
  // It refuses to run as root, so its user must be able to read the settings of another.
  await chmod(directory, 0o755);
  const child = spawn(BINARY, [file], {
    stdio: ["ignore", "pipe", "pipe"],
    ...(isRoot() ? { uid: NOBODY, gid: NOBODY } : {}),
  });
  const output: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => void output.push(text));
  }
  const ended = once(child, "exit");
  const url = new URL(server.url);
  url.host = `127.0.0.1:${port}`;
  const stop = async (): Promise<void> => {
    // Newer versions take SIGTERM as "once all clients have left".
    child.kill("SIGKILL");
    await ended;
    await rm(directory, { recursive: true });
  };
  try {
    await waitUntilUp(url.toString(), child);
  } catch (error) {
    await stop();
    throw new Error(`PgBouncer did not come up: ${output.join("")}`, { cause: error });
  }
  return { url: url.toString(), output: () => output.join(""), stop };
}

/** The user and group without rights on Linux. */
const NOBODY = 65_534;

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

function settingsOf({ url, poolSize, port }: { url: string; poolSize: number; port: number }): string {
  const { hostname, port: serverPort, username, password } = new URL(url);
  const parts = {
    host: hostname,
    port: serverPort === "" ? "5432" : serverPort,
    user: decodeURIComponent(username),
    password: decodeURIComponent(password),
  };
  const target = Object.entries(parts).map(([key, value]) => `${key}='${value.replaceAll("'", "''")}'`);
  return `[databases]
* = ${target.join(" ")}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = ${poolSize}
`;
}

const PROBES = 200;
const PROBE_EVERY_MS = 50;

async function waitUntilUp(url: string, child: ChildProcess): Promise<void> {
  for (let probe = 1; ; probe += 1) {
    try {
      await onServer(url, (client) => client.query("select 1"));
      return;
    } catch (error) {
      if (probe === PROBES || child.exitCode !== null) throw error;
      await delay(PROBE_EVERY_MS);
    }
  }
}
