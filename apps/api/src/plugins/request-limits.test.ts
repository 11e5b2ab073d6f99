import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openTestApi, PAGE_ORIGIN, tokenOf, type Answer, type TestApi } from "../testing/test-api.ts";

let api: TestApi;
beforeAll(async () => {
  api = await openTestApi({}, { requestLimits: { perUser: 5, perAddress: 12 }, trustProxy: 1 });
});
afterAll(() => api.close());

/** From an address that a proxy vouches for. */
function ask(
  path: string,
  from: { user?: string; address: string; headers?: Record<string, string> },
): Promise<Answer> {
  const headers = { "x-forwarded-for": from.address, ...from.headers };
  return api.call({ path, headers, ...(from.user === undefined ? {} : { user: from.user }) });
}

async function allowedOf(count: number, work: () => Promise<Answer>): Promise<number> {
  let allowed = 0;
  // A minute may end meanwhile, which gives a whole new allowance, never a part of one.
  for (let index = 0; index < count; index += 1) if ((await work()).status !== 429) allowed += 1;
  return allowed;
}

describe("requests of a minute", () => {
  it("of a user are refused above the limit with 429, and the answers say how many are left", async () => {
    const user = randomUUID();
    const address = "203.0.113.1";
    const first = await ask("/documents", { user, address });
    expect(first.headers).toMatchObject({ "ratelimit-limit": "5", "ratelimit-remaining": "4" });
    expect(Number(first.headers["ratelimit-reset"])).toBeLessThanOrEqual(60);
    expect(await allowedOf(5, () => ask("/documents", { user, address }))).toBeGreaterThanOrEqual(4);
    const refused = await refusedAnswer(() => ask("/search", { user, address: "203.0.113.2" }));
    expect(refused.body).toMatchObject({ status: 429, code: "request_limit" });
    expect(refused.headers).toMatchObject({
      "ratelimit-remaining": "0",
      "retry-after": expect.stringMatching(/^\d+$/),
    });
  });

  it("of an address are refused above the limit, with valid tokens or none", async () => {
    const address = "203.0.113.3";
    expect((await refusedAnswer(() => ask("/documents", { address }))).body["code"]).toBe("request_limit");
    const other = await ask("/documents", { user: randomUUID(), address: "203.0.113.4" });
    expect(other.status).toBe(200);
  });

  it("of one IPv6 network count together", async () => {
    let host = 0;
    const refused = await refusedAnswer(() =>
      ask("/documents", { address: `2001:db8:1:2::${(host += 1).toString(16)}` }),
    );
    expect(refused.status).toBe(429);
    expect((await ask("/documents", { address: "2001:db8:1:3::1" })).status).toBe(401);
  });

  it("are not counted for health", async () => {
    const address = "203.0.113.5";
    expect(await allowedOf(30, () => ask("root:/health/live", { address }))).toBe(30);
  });

  it("are told to pages of other origins", async () => {
    const answer = await ask("/documents", { address: "203.0.113.6", headers: { origin: PAGE_ORIGIN } });
    expect(answer.headers["access-control-expose-headers"]).toContain("ratelimit-remaining");
  });

  it("count by the address that connects where no proxy is trusted", async () => {
    const direct = await openTestApi({}, { requestLimits: { perUser: 100, perAddress: 3 } });
    const token = await tokenOf(randomUUID());
    const headers = (index: number) => ({ authorization: `Bearer ${token}`, "x-forwarded-for": `198.51.100.${index}` });
    let index = 0;
    const refused = await refusedAnswer(() => direct.call({ path: "/documents", headers: headers((index += 1)) }));
    expect(refused.status).toBe(429);
    await direct.close();
  });
});

/** The first refusal; a minute that ends may put it off once. */
async function refusedAnswer(work: () => Promise<Answer>): Promise<Answer> {
  for (let index = 0; index < 30; index += 1) {
    const answer = await work();
    if (answer.status === 429) return answer;
  }
  throw new Error("Nothing was refused.");
}
