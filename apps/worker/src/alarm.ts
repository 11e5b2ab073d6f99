/** A wait that can be cut short. */
export interface Alarm {
  ring(): void;
  /** Until it rings, or for `ms`; at once if it rang since the last wait. One waiter at a time. */
  wait(ms: number): Promise<void>;
}

export function createAlarm(): Alarm {
  let hasRung = false;
  let wakeUp: (() => void) | undefined;
  return {
    ring: () => {
      hasRung = true;
      wakeUp?.();
    },
    wait: async (ms) => {
      if (!hasRung) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, ms);
          wakeUp = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
      wakeUp = undefined;
      hasRung = false;
    },
  };
}
