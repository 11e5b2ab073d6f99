import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

function run(...args: string[]): { code: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(import.meta.dirname, "main.ts"), ...args], {
    encoding: "utf8",
    env: { PATH: "/usr/bin:/bin", SUPABASE_JWT_SECRET: "signs-tokens-of-no-deployment-at-all" },
  });
  return { code: status, stdout, stderr };
}

describe("validate", () => {
  it("tells its options", () => {
    const { code, stdout } = run("--help");
    expect(code).toBe(0);
    expect(stdout).toContain("--database-url");
  });

  it("exits with 2 where it is asked what it cannot do", () => {
    expect(run()).toMatchObject({ code: 2, stderr: expect.stringContaining("--url") });
    expect(run("--url", "not a url")).toMatchObject({ code: 2, stderr: expect.stringContaining("--url") });
  });

  it("walks nothing where its report could not be written", () => {
    const { code, stdout, stderr } = run("--url", "http://127.0.0.1:9", "--report", "/dev/null/report.md");
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain("cannot be written to /dev/null/report.md");
  });

  it("exits with 1 and says so where nothing answers", () => {
    // Port 9 of this machine discards, and nobody listens on it.
    const { code, stdout } = run("--url", "http://127.0.0.1:9", "--json");
    expect(code).toBe(1);
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({ result: "FAIL", is_complete: true });
    expect(report.findings[0]).toMatchObject({
      title: "The API answers",
      verdict: "FAIL",
      detail: expect.stringContaining("gets no answer"),
    });
  });
});
