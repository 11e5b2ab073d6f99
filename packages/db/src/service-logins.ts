import { createHash, createHmac, pbkdf2Sync, randomBytes } from "node:crypto";
import { z } from "zod";
import { type Database, STATEMENT_TIMEOUT_MS } from "./database.ts";
import { one } from "./queryable.ts";

/** Passwords by service; what has none stays as it is. */
export interface ServicePasswords {
  api?: string | undefined;
  worker?: string | undefined;
}

/**
 * Lets the services' roles log in with these passwords, so that each service connects as its own role. Answers the names of
 * those that may. Needs a user that may change them: whoever made them, or an administrator.
 */
export async function allowServiceLogins(database: Database, passwords: ServicePasswords): Promise<string[]> {
  const given = [
    { service: "api", password: passwords.api },
    { service: "worker", password: passwords.worker },
  ];
  return database.transaction(async (tx) => {
    const names: string[] = [];
    for (const { service, password } of given) {
      if (password === undefined) continue;
      const { name, quoted } = await one(
        tx,
        z.object({ name: z.string(), quoted: z.string() }),
        `select role::text as name, quote_ident(role) as quoted from ${tx.schema}.role_of($1) as role`,
        [service],
      );
      // The server is given what it would make of the password, so that its log cannot hold the password itself.
      await tx.run(`alter role ${quoted} with login password '${scramVerifier(password)}'`);
      // For statements outside transactions, for which a pooler in transaction mode takes no setting of a connection.
      await tx.run(`alter role ${quoted} set statement_timeout = '${STATEMENT_TIMEOUT_MS}ms'`);
      names.push(name);
    }
    return names;
  });
}

/** Postgres' own number. */
const ITERATIONS = 4_096;

/** RFC 5803, of characters that need no quoting. Passwords outside ASCII would need SASLprep. */
function scramVerifier(password: string): string {
  const salt = randomBytes(16);
  const salted = pbkdf2Sync(password.normalize("NFKC"), salt, ITERATIONS, 32, "sha256");
  const hmac = (text: string): Buffer => createHmac("sha256", salted).update(text).digest();
  const storedKey = createHash("sha256").update(hmac("Client Key")).digest("base64");
  const serverKey = hmac("Server Key").toString("base64");
  return `SCRAM-SHA-256$${ITERATIONS}:${salt.toString("base64")}$${storedKey}:${serverKey}`;
}
