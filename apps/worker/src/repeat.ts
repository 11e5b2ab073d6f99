/** Works and pauses in turn until the signal is aborted; a round that fails is told and does not end the loop. */
export async function repeat(
  work: () => Promise<unknown>,
  loop: { pause: () => Promise<void>; signal: AbortSignal; onError: (error: unknown) => void },
): Promise<void> {
  while (!loop.signal.aborted) {
    try {
      await work();
    } catch (error) {
      loop.onError(error);
    }
    await loop.pause();
  }
}
