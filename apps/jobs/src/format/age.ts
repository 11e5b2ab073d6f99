const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A span of time in its largest unit, rounded down: `42s`, `5m`, `3h`, `12d`; hours up to two days. */
export function formatSeconds(seconds: number): string {
  const span = Math.max(0, seconds);
  if (span < MINUTE) return `${Math.floor(span)}s`;
  if (span < HOUR) return `${Math.floor(span / MINUTE)}m`;
  if (span < 2 * DAY) return `${Math.floor(span / HOUR)}h`;
  return `${Math.floor(span / DAY)}d`;
}

/** How long ago a time was, or how far ahead it is; `-` where there is none. */
export function formatAge(time: Date | null, now: Date): string {
  if (time === null) return "-";
  const seconds = (now.getTime() - time.getTime()) / 1_000;
  return seconds < -1 ? `in ${formatSeconds(-seconds)}` : `${formatSeconds(seconds)} ago`;
}

const DAYS_BY_UNIT: Readonly<Record<string, number>> = { h: 1 / 24, d: 1, w: 7 };

/** `12h`, `30d` or `4w` in days; undefined for anything else. */
export function parseDays(text: string): number | undefined {
  const [, count, unit] = /^(\d{1,5})([hdw])$/.exec(text) ?? [];
  const days = Number(count) * (DAYS_BY_UNIT[unit ?? ""] ?? Number.NaN);
  return days > 0 ? days : undefined;
}
