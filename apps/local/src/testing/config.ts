/** Documents of the test with faults; SERVICES_TEST_DOCUMENTS takes another number than the suite can afford. */
export function faultyDocumentCount(): number {
  return Number(process.env["SERVICES_TEST_DOCUMENTS"] || 24);
}
