import { setTimeout as delay } from "node:timers/promises";
import { loadSystem } from "../systems/index.ts";
import type { Producer } from "../systems/queue-system.ts";
import { sendToParent, waitForGo, wallClock } from "./child.ts";
import { producerInput } from "./messages.ts";

/** So that the first documents are as punctual as the others. */
const START_DELAY_MS = 200;

/** Enqueues documents at an even rate, whether or not earlier ones were taken, and reports when each was begun. */
const input = producerInput.parse(JSON.parse(process.argv[2] ?? "{}"));
const system = await loadSystem(input.system);
const producer = await system.openProducer(input.url, { docs: input.docs, stages: input.stages });
const isGo = waitForGo();
await sendToParent("ready");
await isGo;
await sendToParent({ sent: await enqueueEvenly(producer) });
await producer.close();
process.exit(0);

async function enqueueEvenly(to: Producer): Promise<[string, number][]> {
  const intervalMs = 1_000 / input.perSecond;
  const beginAt = wallClock() + START_DELAY_MS;
  const enqueue = async (index: number): Promise<[string, number]> => {
    await delay(Math.max(0, beginAt + index * intervalMs - wallClock()));
    const at = wallClock();
    return [await to.enqueue(), at];
  };
  return Promise.all(Array.from({ length: input.docs }, (_, index) => enqueue(index)));
}
