import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { jwtVerify } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { signUserToken } from "./tokens.ts";

const OWN = "signs-the-tokens-of-the-stack-in-this-checkout";
const THEIRS = "signs-the-tokens-of-another-stack-on-this-machine";

const report = z.object({
  findings: z.array(z.object({ title: z.string(), verdict: z.string(), detail: z.string() })),
});

let server: Server;
let secret: string;
let dataDirectory: string;

/** Verifies tokens as the API does, and answers nothing else of its. */
beforeAll(async () => {
  dataDirectory = await mkdtemp(join(tmpdir(), "validate-"));
  await writeFile(join(dataDirectory, "token-secret"), `${OWN}\n`);
  server = createServer((request, response) => {
    const token = (request.headers.authorization ?? "").replace("Bearer ", "");
    void jwtVerify(token, new TextEncoder().encode(secret)).then(
      () => response.writeHead(200).end("{}"),
      () => response.writeHead(401).end("{}"),
    );
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
});

afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await rm(dataDirectory, { recursive: true });
});

const USER = "A user's token is accepted";
const EXPIRED = "An expired token is refused";
const SERVICE = "The service key is no user's token";

describe("the secret of the stack in this checkout", () => {
  it("signs tokens where the deployment takes them", async () => {
    secret = OWN;
    const of = await look();
    expect(of(USER)).toMatchObject({ verdict: "PASS" });
  });

  it("signs none for another stack on this machine, and says why what needs them is skipped", async () => {
    secret = THEIRS;
    const of = await look();
    const detail = expect.stringMatching(/needs a user's token .*token-secret is not this deployment's/);
    expect(of(USER)).toMatchObject({ verdict: "SKIP", detail });
  });

  it("signs none beside a given token that it did not sign", async () => {
    secret = THEIRS;
    const of = await look("--token", await signUserToken({ secret: THEIRS }));
    const detail = expect.stringContaining("token-secret is not this deployment's");
    expect(of(USER)).toMatchObject({ verdict: "PASS" });
    expect(of(EXPIRED)).toMatchObject({ verdict: "SKIP", detail });
    expect(of(SERVICE)).toMatchObject({ verdict: "SKIP", detail });
  });
});

/** Answers what became of a check. */
async function look(...options: string[]) {
  const { findings } = report.parse(JSON.parse(await run(options)));
  return (wanted: string) => findings.find(({ title }) => title === wanted);
}

function run(options: readonly string[]): Promise<string> {
  const address = server.address();
  const port = typeof address === "object" ? (address?.port ?? 0) : 0;
  const child = spawn(
    process.execPath,
    [join(import.meta.dirname, "main.ts"), "--url", `http://127.0.0.1:${port}`, "--json", ...options],
    { env: { PATH: "/usr/bin:/bin", DATA_DIR: dataDirectory }, stdio: ["ignore", "pipe", "inherit"] },
  );
  return text(child.stdout);
}
