import { existsSync } from "node:fs";
import { chromium, type Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openTestApi, type TestApi } from "../testing/test-api.ts";

let api: TestApi;
let url: string;
beforeAll(async () => {
  api = await openTestApi();
  url = await api.listen();
});
afterAll(() => api.close());

describe("/docs", () => {
  it("shows the contract that /docs/openapi.json serves", async () => {
    const served = await api.call({ path: "root:/docs/openapi.json" });
    expect(served.status).toBe(200);
    expect(served.headers["content-type"]).toContain("application/json");
    expect(served.body).toEqual(JSON.parse(JSON.stringify(api.app.describeContract())));
    const shown = await api.call({ path: "root:/docs/json" });
    expect(shown.body).toEqual(served.body);
  });

  it("asks nothing of other hosts", async () => {
    const page = await api.call({ path: "root:/docs" });
    expect(page.headers["content-security-policy"]).toContain("default-src 'none'");
    expect(page.text).not.toMatch(/(?:src|href)="(?:https?:)?\/\//);
  });

  const browserPath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);

  it.skipIf(browserPath === undefined)(
    "opens in a browser without an error on its console: needs Chromium",
    async ({ onTestFinished }) => {
      const browser = await openBrowser(browserPath);
      onTestFinished(() => browser.close());
      const page = await browser.newPage({ viewport: { width: 1_280, height: 1_600 } });
      const faults: string[] = [];
      const hosts = new Set<string>();
      page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
      page.on("pageerror", (error) => faults.push(error.message));
      page.on("requestfailed", (request) => faults.push(`${request.url()} failed`));
      page.on("request", (request) => request.url().startsWith("data:") || hosts.add(new URL(request.url()).origin));

      await page.goto(`${url}/docs`);
      await page.getByText("Promise a file and learn where to put it").click();
      await page.getByText("A new job waits for the bytes.").first().waitFor();

      expect(faults).toEqual([]);
      expect([...hosts]).toEqual([url]);
    },
  );
});

function openBrowser(executablePath: string | undefined): Promise<Browser> {
  // Without a sandbox, which containers do not allow; the page is our own.
  const options = { args: ["--no-sandbox"], ...(executablePath === undefined ? {} : { executablePath }) };
  return chromium.launch(options);
}
