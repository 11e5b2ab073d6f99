/** What the tests take from the environment: the server to run on, if one is named. */
export function testDatabaseUrl(): string | undefined {
  return process.env["TEST_DATABASE_URL"] || undefined;
}
