/** The claim is another's by now, or nobody's. Whoever sees this ends in silence: its writes would be refused anyway. */
export class LostClaim extends Error {
  constructor() {
    super("The claim was lost.");
    this.name = "LostClaim";
  }
}

/** The worker shuts down: the claim is given back without burning an attempt. */
export class WorkerStopping extends Error {
  constructor() {
    super("The worker is stopping.");
    this.name = "WorkerStopping";
  }
}
