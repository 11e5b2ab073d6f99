/** "w:" nearly always; a document may bind another prefix, or none, to the same namespace. */
export function prefixOf(xml: string): string {
  const namespace =
    /xmlns(?::([\w-]+))?="http:\/\/(?:schemas\.openxmlformats\.org\/wordprocessingml\/2006|purl\.oclc\.org\/ooxml\/wordprocessingml)\/main"/;
  const match = namespace.exec(xml);
  if (match === null) return "w:";
  return match[1] === undefined ? "" : `${match[1]}:`;
}
