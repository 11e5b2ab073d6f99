import { openWorkerBench, workThrough } from "../../worker.fixture.ts";
import { finishJob, openLlamaParseBench } from "./llamaparse.fixture.ts";
import { describeParser } from "./parser.suite.ts";

describeParser("the parser of this machine", {
  parser: /^(pdfjs|pdfium|mammoth|readability|markdown|text)/u,
  open: async () => {
    const bench = await openWorkerBench();
    const worker = bench.openWorker();
    return { bench, finish: () => workThrough(worker), close: () => bench.close() };
  },
});

describeParser("LlamaParse, emulated,", {
  parser: "llamaparse",
  open: async () => {
    const bench = await openLlamaParseBench();
    const emulator = await bench.start();
    const worker = bench.openWorker();
    const finish = (job_id: string) => finishJob(bench, { job_id, worker, emulator });
    return { bench, finish, close: () => bench.close() };
  },
});
