/** The type without its parameters: browsers add `;charset=UTF-8` to text by themselves, so parameters do not count. */
export function mediaType(contentType: string): string {
  const [type = ""] = contentType.split(";", 1);
  return type.trim().toLowerCase();
}
