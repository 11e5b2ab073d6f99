/** What the tests take from the environment: the server to run on, or "embedded" for none even if Docker answers. */
export function testDatabaseUrl(): string | undefined {
  return process.env["TEST_DATABASE_URL"] || undefined;
}

/** Where the real server must be tested, falling back to the embedded one would hide that it was not. */
export function isPostgresRequired(): boolean {
  return process.env["TEST_REQUIRE_POSTGRES"] === "true";
}
