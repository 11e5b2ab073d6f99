import { join } from "node:path";

/**
 * Where commands keep what Node compiled of them, types stripped: that is half of the CPU time of a start. The images have
 * a place of their own, filled when they are built.
 */
export const COMPILE_CACHE = join(import.meta.dirname, "../../../node_modules/.cache/compiled");
