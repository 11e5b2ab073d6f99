import { randomUUID } from "node:crypto";
import { buffer } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { SignedUpload } from "./object-store.ts";
import { openUploadServer, type UploadServer } from "./upload-server.fixture.ts";

const CONTENT = "twelve bytes";

/** As supabase-js makes it. */
const formOf = (content: string, type = "text/plain"): FormData => {
  const form = new FormData();
  form.append("cacheControl", "3600");
  form.append("", new File([content], "letter.txt", { type }));
  return form;
};
const raw = (body: string, boundary = "edge"): [string, Record<string, string>] => [
  body,
  { "content-type": `multipart/form-data; boundary=${boundary}` },
];

describe("a form with a file, put to the disk store", () => {
  let server: UploadServer;
  beforeEach(async () => {
    server = await openUploadServer();
  });
  afterEach(() => server.close());

  const sign = (): Promise<SignedUpload> => {
    const key = `${randomUUID()}/${randomUUID()}`;
    return server.store.signUpload({ key, mime: "text/plain", bytes_len: CONTENT.length, expiresInSeconds: 60 });
  };
  const put = async (
    { url }: SignedUpload,
    body: FormData | string,
    headers: Record<string, string> = {},
  ): Promise<string> => {
    const count = server.outcomes.length;
    await fetch(url, { method: "PUT", body, headers });
    await vi.waitFor(() => expect(server.outcomes.length).toBe(count + 1));
    return server.outcomes.at(-1) ?? "";
  };
  it("is stored without the form", async () => {
    const upload = await sign();
    expect(await put(upload, formOf(CONTENT))).toBe("stored");
    expect((await buffer(await server.store.download(upload.path, {}))).toString()).toBe(CONTENT);
    expect(await put(upload, formOf(CONTENT))).toBe("upload_already_received");
  });

  const PART = '--edge\r\ncontent-disposition: form-data; name=""; filename="a"\r\ncontent-type: text/plain\r\n\r\n';
  it.each([
    ["of another type", () => [formOf(CONTENT, "application/pdf"), {}], "upload_type_mismatch"],
    ["that is longer", () => [formOf(`${CONTENT}!`), {}], "upload_too_large"],
    ["that is shorter", () => [formOf(CONTENT.slice(1)), {}], "upload_length_mismatch"],
    ["without an end", () => raw(`${PART}${CONTENT}`), "upload_interrupted"],
    ["that is cut off in its head", () => raw("--edge\r\ncontent-disposition: form-data"), "upload_form_invalid"],
    [
      "without a file",
      () => raw('--edge\r\ncontent-disposition: form-data; name="a"\r\n\r\nx\r\n--edge--'),
      "upload_form_invalid",
    ],
    ["without a boundary", () => ["", { "content-type": "multipart/form-data" }], "upload_form_invalid"],
  ] satisfies [string, () => [FormData | string, Record<string, string>], string][])(
    "is refused %s",
    async (_, make, code) => {
      const upload = await sign();
      const [body, headers] = make();
      expect(await put(upload, body, headers)).toBe(code);
      expect(await server.store.stat(upload.path)).toBeUndefined();
      expect(await server.listFiles()).toEqual([]);
      expect(await put(upload, formOf(CONTENT))).toBe("stored");
    },
  );
});
