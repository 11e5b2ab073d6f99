import { describe, expect, it } from "vitest";
import { createProbe } from "./create-probe.ts";

describe("a probe", () => {
  it("gives up on a part that hangs, and asks it once however often it is asked itself", async () => {
    let asked = 0;
    const probe = createProbe(
      () => {
        asked += 1;
        return new Promise<never>(() => undefined);
      },
      { timeoutMs: 1, keepMs: 0 },
    );
    for (let count = 0; count < 3; count += 1) {
      await expect(probe()).rejects.toMatchObject({ kind: "transient", code: "probe_timeout" });
    }
    expect(asked).toBe(1);
  });

  it("asks again once it was answered, if answers are not kept", async () => {
    let asked = 0;
    const probe = createProbe(async () => (asked += 1), { timeoutMs: 1_000, keepMs: 0 });
    expect([await probe(), await probe()]).toEqual([1, 2]);
  });

  it("gives a kept answer again, failures too", async () => {
    let asked = 0;
    const probe = createProbe(
      async () => {
        asked += 1;
        throw new Error(`failure ${asked}`);
      },
      { timeoutMs: 1_000, keepMs: 60_000 },
    );
    await expect(probe()).rejects.toThrow("failure 1");
    await expect(probe()).rejects.toThrow("failure 1");
  });
});
