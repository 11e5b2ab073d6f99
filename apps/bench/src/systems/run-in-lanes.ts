/** Does the work `count` times, `laneCount` of them at once: a pool's queue of waiters would time out. */
export async function runInLanes<T>(
  { count, laneCount }: { count: number; laneCount: number },
  work: () => Promise<T>,
): Promise<T[]> {
  const results: T[] = [];
  let started = 0;
  const runLane = async (): Promise<void> => {
    while (started < count) {
      started += 1;
      results.push(await work());
    }
  };
  await Promise.all(Array.from({ length: laneCount }, runLane));
  return results;
}
