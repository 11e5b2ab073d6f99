export interface Refusal {
  /** What the body says, and what counts. */
  statusCode: number;
  code: string;
  /** The older field, in words of its own; the code where it has none. */
  error?: string;
  message: string;
}

/** Something that the service refuses; whoever answers decides between JSON and the plain text of resumable uploads. */
export class StorageRefusal extends Error {
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    super(refusal.message);
    this.refusal = refusal;
  }

  /** Over HTTP every refusal is a 400. */
  body(): Record<string, string> {
    const { statusCode, code, error = code, message } = this.refusal;
    return { statusCode: String(statusCode), error, message, code };
  }
}

export const refuse = {
  noSuchBucket: () =>
    new StorageRefusal({
      statusCode: 404,
      code: "NoSuchBucket",
      error: "Bucket not found",
      message: "Bucket not found",
    }),
  noSuchKey: () =>
    new StorageRefusal({ statusCode: 404, code: "NoSuchKey", error: "not_found", message: "Object not found" }),
  bucketExists: () =>
    new StorageRefusal({
      statusCode: 409,
      code: "BucketAlreadyExists",
      error: "Duplicate",
      message: "The resource already exists",
    }),
  bucketNotEmpty: () =>
    new StorageRefusal({
      statusCode: 409,
      code: "InvalidRequest",
      message: "The bucket you tried to delete is not empty",
    }),
  keyExists: () =>
    new StorageRefusal({
      statusCode: 409,
      code: "KeyAlreadyExists",
      error: "Duplicate",
      message: "The resource already exists",
    }),
  tooLarge: () =>
    new StorageRefusal({
      statusCode: 413,
      code: "EntityTooLarge",
      error: "Payload too large",
      message: "The object exceeded the maximum allowed size",
    }),
  mimeType: (type: string) =>
    new StorageRefusal({
      statusCode: 415,
      code: "InvalidMimeType",
      error: "invalid_mime_type",
      message: `mime type ${type} is not supported`,
    }),
  accessDenied: (message: string) =>
    new StorageRefusal({ statusCode: 403, code: "AccessDenied", error: "Unauthorized", message }),
  invalidJwt: (message: string) => new StorageRefusal({ statusCode: 400, code: "InvalidJWT", message }),
  invalidSignature: (message = "Invalid signature") =>
    new StorageRefusal({ statusCode: 400, code: "InvalidSignature", message }),
  invalidKey: (key: string) =>
    new StorageRefusal({ statusCode: 400, code: "InvalidKey", message: `Invalid key: ${key}` }),
  invalidRange: () =>
    new StorageRefusal({
      statusCode: 400,
      code: "InvalidRange",
      error: "invalid_range",
      message: "invalid range provided",
    }),
  invalidRequest: (message: string) =>
    new StorageRefusal({ statusCode: 400, code: "InvalidRequest", error: "Error", message }),
  routeNotFound: (route: string) =>
    new StorageRefusal({
      statusCode: 404,
      code: "NotFound",
      error: "Not Found",
      message: `Route ${route} not found`,
    }),
};
