import { z } from "zod";

/** A time: ISO 8601 in UTC on the wire, a Date in the code. */
export const isoTime = z.codec(z.iso.datetime(), z.date(), {
  decode: (text) => new Date(text),
  encode: (date) => date.toISOString(),
});
