import { addRequestCounts, deleteOldRequestCounts, type Queryable, type RequestCount } from "@pipeline/db";

/** Where somebody stands in the current minute. */
export interface RequestUsage {
  limit: number;
  used: number;
  resets_at: Date;
}

/** Whose requests are counted. */
export interface RequestSubject {
  kind: "user" | "address";
  name: string;
}

export interface RequestCounter {
  /** Counts one more request if the limit allows it; says so. */
  take(subject: RequestSubject, limit: number): RequestUsage & { isAllowed: boolean };
  /** Sends what is not sent yet, and stops. */
  close(): Promise<void>;
}

export interface RequestCounterOptions {
  /** Between two exchanges with the database, 500 ms by default; sooner where a subject goes through its limit fast. */
  exchangeMs?: number;
  onError: (error: unknown) => void;
}

/**
 * Counts requests of the minute over all processes, without a statement for each of them: counts are sent in batches, and
 * the sums that come back are what the limit is compared with. So it can be passed by what other processes let through
 * since the last exchange. That is sent when it is a twentieth of what is left, so that processes which serve the same
 * subject learn of each other ever faster towards its limit, and pass it by few. One that comes late knows less: it can add
 * a twentieth of the limit, and whatever comes while an exchange is under way. While the database is away each process
 * counts by itself.
 */
export function createRequestCounter(database: Queryable, options: RequestCounterOptions): RequestCounter {
  const { exchangeMs = 500, onError } = options;
  const groups = { user: new Map<string, Subject>(), address: new Map<string, Subject>() };
  const tally: Tally = { groups: Object.values(groups), skewMs: 0 };
  let timer: NodeJS.Timeout | undefined;
  let exchanging: Promise<void> | undefined;
  let isClosed = false;

  const exchange = (): Promise<void> => exchangeCounts(database, tally).catch(onError);
  const exchangeNow = (): void => {
    clearTimeout(timer);
    timer = undefined;
    exchanging ??= exchange().finally(() => {
      exchanging = undefined;
      if (tally.groups.some((group) => group.size > 0)) exchangeSoon();
    });
  };
  const exchangeSoon = (): void => {
    if (!isClosed) timer ??= setTimeout(exchangeNow, exchangeMs).unref();
  };
  return {
    take: ({ kind, name }, limit) => {
      const minute = minuteOf(Date.now() + tally.skewMs);
      const group = groups[kind];
      const key = `${kind} ${name}`;
      const known = group.get(key);
      const subject = known?.minute === minute ? known : { minute, stored: 0, sending: 0, pending: 0 };
      if (subject !== known && (known !== undefined || group.size < MAX_SUBJECTS)) group.set(key, subject);
      const used = subject.stored + subject.sending + subject.pending;
      const usage = { limit, resets_at: new Date(minute + MINUTE_MS - tally.skewMs) };
      if (used >= limit) return { ...usage, used: limit, isAllowed: false };
      subject.pending += 1;
      const left = limit - subject.stored - subject.sending;
      if (subject.pending * 20 >= left && exchanging === undefined) exchangeNow();
      else exchangeSoon();
      return { ...usage, used: used + 1, isAllowed: true };
    },
    close: async () => {
      isClosed = true;
      clearTimeout(timer);
      await exchanging;
      await exchange();
    },
  };
}

const MINUTE_MS = 60_000;
/**
 * Of each kind, in one process and minute. Those beyond are not counted: whoever has so many addresses is not held by a
 * limit of each. They take no room from users, whose limit holds from wherever they ask.
 */
const MAX_SUBJECTS = 50_000;

interface Tally {
  /** Subjects by what they are called in the database, where no two groups have one in common. */
  groups: readonly Map<string, Subject>[];
  /** The database's clock, which all processes go by, ahead of our own. */
  skewMs: number;
}

interface Subject {
  minute: number;
  /** What all processes had sent at the last exchange. */
  stored: number;
  /** On its way. */
  sending: number;
  pending: number;
}

async function exchangeCounts(database: Queryable, tally: Tally): Promise<void> {
  const { groups } = tally;
  const minute = minuteOf(Date.now() + tally.skewMs);
  const sent = groups.flatMap(takePending);
  try {
    const sums = sent.length === 0 ? [] : await addRequestCounts(database, sent);
    for (const sum of sums) {
      tally.skewMs = sum.now - Date.now();
      const subject = groups.find((group) => group.has(sum.subject))?.get(sum.subject);
      if (subject?.minute === sum.minute) Object.assign(subject, { stored: sum.count, sending: 0 });
    }
  } catch (error) {
    for (const subject of groups.flatMap((group) => [...group.values()])) {
      subject.pending += subject.sending;
      subject.sending = 0;
    }
    forgetOlder(groups, minute);
    throw error;
  }
  if (forgetOlder(groups, minute) > 0) await deleteOldRequestCounts(database);
}

function minuteOf(time: number): number {
  return Math.floor(time / MINUTE_MS) * MINUTE_MS;
}

function takePending(group: Map<string, Subject>): RequestCount[] {
  const sent: RequestCount[] = [];
  for (const [name, subject] of group) {
    if (subject.pending === 0) continue;
    sent.push({ subject: name, minute: subject.minute, count: subject.pending });
    subject.sending += subject.pending;
    subject.pending = 0;
  }
  return sent;
}

function forgetOlder(groups: readonly Map<string, Subject>[], minute: number): number {
  let count = 0;
  for (const group of groups) {
    for (const [name, subject] of group) {
      if (subject.minute >= minute) continue;
      group.delete(name);
      count += 1;
    }
  }
  return count;
}
