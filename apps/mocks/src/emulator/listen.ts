import { AppError } from "@pipeline/runtime";
import { fastify, type FastifyInstance } from "fastify";

export interface ListenOptions {
  /** 0, the default, takes any free port. */
  port?: number;
  /** The loopback interface by default. */
  host?: string;
}

/** A server that keeps nobody waiting when it closes. */
export function createServer(options: { bodyLimit: number }): FastifyInstance {
  return fastify({
    logger: false,
    bodyLimit: options.bodyLimit,
    forceCloseConnections: true,
    return503OnClosing: false,
  });
}

/** Answers the URL. Throws AppError conflict `port_in_use`; then the server is closed. */
export async function listen(app: FastifyInstance, { port = 0, host = "127.0.0.1" }: ListenOptions): Promise<string> {
  try {
    return await app.listen({ host, port });
  } catch (error) {
    await app.close();
    if (!(error instanceof Error && "code" in error && error.code === "EADDRINUSE")) throw error;
    throw new AppError({
      kind: "conflict",
      code: "port_in_use",
      message: `Port ${port} is taken by another process. Stop it, or choose another port.`,
      cause: error,
    });
  }
}
