import { randomUUID } from "node:crypto";
import { type Deployment, needToken, type SectionChecks } from "../deployment.ts";
import { Fault } from "../finding.ts";
import { type Call, readProblem } from "../http.ts";

interface Refusal {
  title: string;
  status: number;
  path: string;
  call: (token: string) => Call;
}

const FILE = { filename: "a.md", mime: "text/markdown", bytes_len: 1, sha256: "0".repeat(64) };
const post =
  (body: unknown, headers: Record<string, string> = {}) =>
  (token: string): Call => ({
    method: "POST",
    token,
    body,
    headers,
  });
/** Above what any JSON request may have. */
const HUGE_CHARS = 300_000;

const REFUSALS: readonly Refusal[] = [
  { title: "An unknown route is a 404", status: 404, path: "/no-such-route", call: (token) => ({ token }) },
  { title: "An unknown job is a 404", status: 404, path: `/jobs/${randomUUID()}`, call: (token) => ({ token }) },
  { title: "A call without a token is a 401", status: 401, path: "/documents", call: () => ({}) },
  { title: "What is no JSON is a 400", status: 400, path: "/search", call: post("{") },
  {
    title: "A body that is too large is a 413",
    status: 413,
    path: "/search",
    call: post({ query: "x".repeat(HUGE_CHARS) }),
  },
  {
    title: "A file that is too large is a 413",
    status: 413,
    path: "/upload",
    call: post({ ...FILE, bytes_len: 10 ** 12 }),
  },
  {
    title: "A body of another type is a 415",
    status: 415,
    path: "/search",
    call: post("query=x", { "content-type": "text/csv" }),
  },
  {
    title: "A file of another type is a 415",
    status: 415,
    path: "/upload",
    call: post({ ...FILE, mime: "image/gif" }),
  },
  { title: "A missing field is a 422", status: 422, path: "/search", call: post({}) },
];

/** Nothing here leaves a row: each request is refused before anything is stored. */
export const errorHandling: SectionChecks = async ({ api, tokens }: Deployment, check) => {
  for (const { title, status, path, call } of REFUSALS) {
    await check(title, async () => {
      const token = needToken(tokens, "user");
      const { code } = readProblem(await api(path, call(token)), status);
      return code;
    });
  }
  await check("A caller's correlation id comes back", async () => {
    const given = `validate-${randomUUID()}`;
    const answer = await api("/no-such-route", { headers: { "x-correlation-id": given } });
    const returned = answer.headers.get("x-correlation-id");
    if (returned !== given) throw new Fault(`came back as ${returned ?? "nothing"}`);
    return "in the header of the answer";
  });
};
