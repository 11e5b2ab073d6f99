/** Loaded into the API's process before anything else: tells its memory, collected, whenever it is asked. */
process.on("message", (message) => {
  if (message !== "memory") return;
  globalThis.gc?.();
  const { rss, heapUsed } = process.memoryUsage();
  process.send?.({ rss, heap: heapUsed });
});
// A benchmark that was broken off leaves no server behind.
process.once("disconnect", () => process.kill(process.pid, "SIGTERM"));
// Being asked is no reason to stay alive.
process.channel?.unref();
