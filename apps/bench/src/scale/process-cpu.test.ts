import { expect, it } from "vitest";
import { sumContainerCpu } from "./process-cpu.ts";

it("a container's time is that of its processes and of what its first one has seen end, each once", () => {
  const stats = [
    "1 (postgres) S 0 1 1 0 -1 4194560 1 2 3 4 10 20 300 400 20 0 1",
    "7 (odd ) name) S 1 7 7 0 -1 4194560 1 2 3 4 1 2 5000 5000 20 0 1",
    "",
  ];
  expect(sumContainerCpu(stats.join("\n"))).toBe(7.33);
});
