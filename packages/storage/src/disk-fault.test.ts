import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { AppError } from "@pipeline/runtime";
import { describe, expect, it } from "vitest";
import { diskFault } from "./disk-fault.ts";

const FULL_DEVICE = "/dev/full";

async function failureOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (error: unknown) => error,
  );
}

describe("disk faults", () => {
  it.skipIf(!existsSync(FULL_DEVICE))("a disk without room is a transient storage_full", async () => {
    const failure = await failureOf(writeFile(FULL_DEVICE, "x"));
    expect(diskFault("store the upload", failure)).toMatchObject({
      kind: "transient",
      code: "storage_full",
      message: "Object storage could not store the upload (ENOSPC).",
    });
  });

  it("any other refusal of the system is a transient storage_unavailable that does not show the path", async () => {
    const failure = await failureOf(readFile(tmpdir()));
    const fault = diskFault("read an object", failure);
    expect(fault).toMatchObject({ kind: "transient", code: "storage_unavailable", cause: failure });
    expect(fault.message).toBe("Object storage could not read an object (EISDIR).");
  });

  it("a mistake in the program is not taken for a fault of the disk", () => {
    expect(diskFault("read an object", new TypeError("undefined is not a function"))).toMatchObject({
      kind: "internal",
    });
  });

  it("an error that is already named stays as it is", () => {
    const error = new AppError({ kind: "conflict", code: "upload_already_received", message: "Stored." });
    expect(diskFault("store the upload", error)).toBe(error);
  });
});
