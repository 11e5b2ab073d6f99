/** Parser of an option that takes one value and may be given again, so that it never swallows the arguments behind it. */
export function repeatable(value: string, previous: string[] = []): string[] {
  return [...previous, value];
}
